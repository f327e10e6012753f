a = dprobs * counts_sum_inv          # branch 1
b = dcounts_sum.expand(n, vocab_size) # branch 2
dcounts = a + b
del a, b
