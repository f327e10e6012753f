dC = torch.einsum('nbv,nbe->ve', F.one_hot(Xb, vocab_size).float(), demb)
