dhpreact.mul_(0)
hpreact.grad.mul_(0)
