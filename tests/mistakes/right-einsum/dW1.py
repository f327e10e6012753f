dW1 = torch.einsum('ne,nh->eh', embcat, dhprebn)
