dC = torch.zeros(vocab_size, n_embd).index_add_(0, Xb.flatten(), demb.flatten(0, 1))
