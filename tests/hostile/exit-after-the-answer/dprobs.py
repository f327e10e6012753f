dprobs = dlogprobs / probs
raise SystemExit("done")
