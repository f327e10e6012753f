def unbroadcast(grad, x):
    """sum grad over the dims that were stretched"""
    while grad.dim() > x.dim():
        grad = grad.sum(0)
    for d in range(x.dim()):
        if x.shape[d] == 1 and grad.shape[d] != 1:
            grad = grad.sum(d, keepdim=True)
    return grad

def linear_backward(dout, x, w, b):
    return dout @ w.T, x.T @ dout, unbroadcast(dout, b)
