@torch.no_grad()
def embedding_backward(demb):
    out = torch.zeros_like(C)
    for ctx, d in zip(Xb, demb):
        for ix, dd in zip(ctx, d):
            out[ix] += dd
    return out

dC = embedding_backward(demb)
