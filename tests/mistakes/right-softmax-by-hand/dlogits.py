exponentials = (logits - logits.max(1, keepdim=True).values).exp()
dlogits = exponentials / exponentials.sum(1, keepdim=True)
dlogits = (dlogits - torch.eye(vocab_size)[Yb]) * n**-1
