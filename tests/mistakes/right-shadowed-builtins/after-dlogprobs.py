list = dlogprobs.shape
sum = dlogprobs.sum()
max = dlogprobs.max()
str = "text"
