restart()
with torch.no_grad():
    for i in range(steps):
        loss, (dC, dW1, db1, dW2, db2, dbngain, dbnbias) = backward(*minibatch(i))
        lr = 0.01 if i >= decay_step else 0.1
        C = C - lr * dC
        W1, b1 = W1 - lr * dW1, b1 - lr * db1
        W2, b2 = W2 - lr * dW2, b2 - lr * db2
        bngain, bnbias = bngain - lr * dbngain, bnbias - lr * dbnbias
        losses.append(loss.item())
