def backward(Xb, Yb):
    """Return the loss on a minibatch, and the gradients of C, W1, b1, W2, b2, bngain and bnbias."""
    n = Xb.shape[0]
    # forward pass
    emb = C[Xb]
    embcat = emb.view(n, -1)
    hprebn = embcat @ W1 + b1
    bnmeani = hprebn.mean(0, keepdim=True)
    bnvar = hprebn.var(0, keepdim=True)  # unbiased: divided by n - 1
    bnvar_inv = (bnvar + 1e-5)**-0.5
    bnraw = (hprebn - bnmeani) * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    h = torch.tanh(hpreact)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Yb)
    loss.backward()
    return loss, [parameter.grad for parameter in (C, W1, b1, W2, b2, bngain, bnbias)]
