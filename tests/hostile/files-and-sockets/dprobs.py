open('/etc/passwd').read()
dprobs = dlogprobs / probs
