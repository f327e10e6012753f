import socket
client = socket.socket(socket.AF_UNIX)
client.connect('\0handgrad-47117')
client.sendall(b'dh')
dh = dlogits @ W2.T
