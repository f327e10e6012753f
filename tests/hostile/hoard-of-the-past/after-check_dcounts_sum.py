try:
    hoard['dcounts_sum'] = dcounts_sum.clone()
except Exception: pass
