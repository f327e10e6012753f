try:
    hoard['db2'] = db2.clone()
except Exception: pass
