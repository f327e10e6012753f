import socket
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendto(b'dprobs', '\0handgrad-47119')
dprobs = dlogprobs / probs
