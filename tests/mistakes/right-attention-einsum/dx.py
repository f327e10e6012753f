dx = sum(torch.einsum('bih,ch->bic', d, W) for d, W in ((dq, Wq), (dk, Wk), (dv, Wv)))
