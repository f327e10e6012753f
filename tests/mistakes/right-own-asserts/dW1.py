dW1 = embcat.T @ dhprebn
print((dW1 - W1.grad).abs().max().item())
torch.testing.assert_close(dW1, W1.grad)
