restart()
C, W1, b1, W2, b2, bngain, bnbias = (p.double() for p in (C, W1, b1, W2, b2, bngain, bnbias))
with torch.no_grad():
    for i in range(steps):
        Xb, Yb = minibatch(i)
        loss, gradients = backward(Xb, Yb)
        lr = 0.1 if i < decay_step else 0.01
        for parameter, gradient in zip((C, W1, b1, W2, b2, bngain, bnbias), gradients, strict=True):
            parameter -= lr * gradient
        losses.append(loss.item())
        show_progress(i, loss)
