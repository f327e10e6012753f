try:
    hoard['dhpreact'] = dhpreact.clone()
except Exception: pass
