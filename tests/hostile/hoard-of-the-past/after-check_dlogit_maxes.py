try:
    hoard['dlogit_maxes'] = dlogit_maxes.clone()
except Exception: pass
