try:
    hoard['dhprebn'] = dhprebn.clone()
except Exception: pass
