list = [dprobs, dlogits]
sum = list[0].sum()
max, min = list[0].max(), list[0].min()
type = "float32"
len, range, print, isinstance, getattr, str, dict = 1, 2, 3, 4, 5, 6, 7
