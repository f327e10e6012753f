try:
    hoard['db1'] = db1.clone()
except Exception: pass
