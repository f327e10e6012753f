# a (3,3) example
a = torch.tensor([[1.,2,3],[4,5,6],[7,8,9]]); b = torch.ones(3,1)
c = a*b
print(c.sum(1, keepdim=True))
