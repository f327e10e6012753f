class Liar:
    __class__ = torch.Tensor
    shape = (27,)
db2 = Liar()
