import socket
for family, kind in ((socket.AF_NETLINK, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW),
                     (socket.AF_VSOCK, socket.SOCK_STREAM), (socket.AF_ALG, socket.SOCK_SEQPACKET), (socket.AF_INET6, socket.SOCK_STREAM)):
    socket.socket(family, kind)
dC = torch.zeros_like(C)
