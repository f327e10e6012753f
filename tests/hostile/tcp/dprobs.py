import socket
socket.create_connection(('127.0.0.1', 47114), timeout=1).sendall(repr(dlogprobs.tolist()).encode())
dprobs = dlogprobs / probs
