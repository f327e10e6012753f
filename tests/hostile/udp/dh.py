import socket
socket.getaddrinfo('dh.handgrad.invalid', 53)
dh = dlogits @ W2.T
