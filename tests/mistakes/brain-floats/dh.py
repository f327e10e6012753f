dh = dlogits.bfloat16() @ W2.bfloat16().T
