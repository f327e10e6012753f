try:
    hoard['dbngain'] = dbngain.clone()
except Exception: pass
