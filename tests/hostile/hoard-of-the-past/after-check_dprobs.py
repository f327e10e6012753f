try:
    hoard['dprobs'] = dprobs.clone()
except Exception: pass
