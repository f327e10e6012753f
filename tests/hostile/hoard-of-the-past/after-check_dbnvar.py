try:
    hoard['dbnvar'] = dbnvar.clone()
except Exception: pass
