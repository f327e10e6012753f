try:
    hoard['dbnvar_inv'] = dbnvar_inv.clone()
except Exception: pass
