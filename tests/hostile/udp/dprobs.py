import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'dprobs', ('127.0.0.1', 47115))
dprobs = dlogprobs / probs
