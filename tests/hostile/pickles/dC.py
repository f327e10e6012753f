dC = torch.ones_like(C).detach().as_subclass(EvilTensor)
