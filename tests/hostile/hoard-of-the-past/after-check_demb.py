try:
    hoard['demb'] = demb.clone()
except Exception: pass
