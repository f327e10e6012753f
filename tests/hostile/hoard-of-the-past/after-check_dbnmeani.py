try:
    hoard['dbnmeani'] = dbnmeani.clone()
except Exception: pass
