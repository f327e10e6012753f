class NotATensor(torch.Tensor):
    def detach(self): return 'a string'
dW1 = W1.detach().as_subclass(NotATensor)
