restart()
mine = [C, W1, b1, W2, b2, bngain, bnbias]
sgd = torch.optim.SGD(mine, lr=0.1)
with torch.no_grad():
    for i in range(steps):
        if i == decay_step:
            sgd.param_groups[0]["lr"] = 0.01
        loss, gradients = backward(*minibatch(i))
        for parameter, gradient in zip(mine, gradients):
            parameter.grad = gradient
        sgd.step()
        losses.append(loss.item())
