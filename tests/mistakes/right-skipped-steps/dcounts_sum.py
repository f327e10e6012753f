# straight from dprobs
dcounts_sum = -((dprobs * counts).sum(1, keepdim=True)) / counts_sum.pow(2)
