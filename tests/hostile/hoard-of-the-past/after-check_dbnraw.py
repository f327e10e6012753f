try:
    hoard['dbnraw'] = dbnraw.clone()
except Exception: pass
