try:
    hoard['dlogits'] = dlogits.clone()
except Exception: pass
