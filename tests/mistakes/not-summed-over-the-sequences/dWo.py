dWo = mixed.transpose(1, 2) @ dout
