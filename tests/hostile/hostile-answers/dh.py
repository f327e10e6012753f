class Blow(torch.Tensor):
    def detach(self): raise RuntimeError
    def __del__(self): raise SystemExit
dh = h.detach().as_subclass(Blow)
