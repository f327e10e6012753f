try:
    hoard['dlogprobs'] = dlogprobs.clone()
except Exception: pass
