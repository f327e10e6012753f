_, _, db2 = linear_backward(dlogits, h, W2, b2)
