import sys, warnings
warnings.warn('be careful')
print('working...', file=sys.stderr)
dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), Yb] = -1/n
