import socket
client = socket.socket(socket.AF_UNIX)
client.connect('/tmp/handgrad-47116.socket')
client.sendall(b'dprobs')
dprobs = dlogprobs / probs
