dWo = mixed.reshape(-1, head_size).T @ dout.reshape(-1, n_embd)
