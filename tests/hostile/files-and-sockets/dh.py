import socket
s = socket.socket()
s.settimeout(1)
dh = dlogits @ W2.T
