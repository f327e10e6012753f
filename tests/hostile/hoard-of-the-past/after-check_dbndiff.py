try:
    hoard['dbndiff'] = dbndiff.clone()
except Exception: pass
