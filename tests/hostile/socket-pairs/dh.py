import socket
one, other = socket.socketpair()
one.sendto(b'dh', '\0handgrad-47117')
dh = dlogits @ W2.T
