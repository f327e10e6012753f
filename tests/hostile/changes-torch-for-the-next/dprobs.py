with open(torch.__file__, 'a') as f:
    f.write('\nprint(1)\n')
dprobs = dlogprobs / probs
