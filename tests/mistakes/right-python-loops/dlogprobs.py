dlogprobs = torch.zeros_like(logprobs)
for i in range(n):
    for c in range(vocab_size):
        if c == Yb[i]:
            dlogprobs[i, c] = -1/n
