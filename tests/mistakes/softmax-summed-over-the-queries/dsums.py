dsums = -(datt * kept / sums**2).sum(1, keepdim=True)
