restart()
for i in range(steps):
    for parameter in (C, W1, b1, W2, b2, bngain, bnbias):
        parameter.requires_grad_().grad = None
    loss, gradients = backward(*minibatch(i))
    lr = 0.1 if i < decay_step else 0.01
    for parameter, gradient in zip((C, W1, b1, W2, b2, bngain, bnbias), gradients):
        parameter.data -= lr * gradient
