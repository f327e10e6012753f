dW1 = patches.transpose(1, 2) @ dconv
