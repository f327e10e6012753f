try:
    hoard['dbnbias'] = dbnbias.clone()
except Exception: pass
