try:
    hoard['dembcat'] = dembcat.clone()
except Exception: pass
