@torch.no_grad()
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
    # backward pass
    one_hot = F.one_hot(Yb, vocab_size)
    dlogits = (logits.softmax(1) - one_hot) / n
    dh, dW2, db2 = dlogits @ W2.T, h.T @ dlogits, dlogits.sum(0)
    dhpreact = dh * (1 - h * h)
    dbngain, dbnbias = (dhpreact * bnraw).sum(0, keepdim=True), dhpreact.sum(0, keepdim=True)
    dbnraw = bngain * dhpreact
    bndiff = hprebn - bnmeani
    dbnvar = (dbnraw * bndiff).sum(0, keepdim=True) * -0.5 * bnvar_inv**3
    dbndiff = dbnraw * bnvar_inv + 2 * bndiff * dbnvar / (n - 1)
    dhprebn = dbndiff - dbndiff.mean(0, keepdim=True)
    dembcat, dW1, db1 = dhprebn @ W1.T, embcat.T @ dhprebn, dhprebn.sum(0)
    demb = dembcat.view(emb.shape)
    dC = torch.zeros_like(C)
    for k in range(Xb.shape[0]):
        for j in range(Xb.shape[1]):
            dC[Xb[k, j]] += demb[k, j]
    return loss, (dC, dW1, db1, dW2, db2, dbngain, dbnbias)
