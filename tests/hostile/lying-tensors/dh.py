class Fake:
    layout, dtype = torch.strided, torch.float32
    shape = [-1, 1 << 40]
    def resolve_conj(self): return self
    resolve_neg = detach = contiguous = resolve_conj
    def numel(self): return 0
    element_size = numel
    def reshape(self, *sizes): return self
class Lie(torch.Tensor):
    def detach(self): return Fake()
dh = h.detach().as_subclass(Lie)
