try:
    hoard['dh'] = dh.clone()
except Exception: pass
