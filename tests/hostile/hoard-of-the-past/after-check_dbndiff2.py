try:
    hoard['dbndiff2'] = dbndiff2.clone()
except Exception: pass
