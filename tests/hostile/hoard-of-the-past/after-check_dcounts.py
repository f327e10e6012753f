try:
    hoard['dcounts'] = dcounts.clone()
except Exception: pass
