Xb, Yb = minibatch(3)
for _ in range(5):
    loss, gradients = backward(Xb, Yb)
    C -= 0.5 * gradients[0]
