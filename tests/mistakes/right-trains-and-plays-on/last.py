C.zero_()
W1 = None
print(split_loss(Xdev, Ydev))
