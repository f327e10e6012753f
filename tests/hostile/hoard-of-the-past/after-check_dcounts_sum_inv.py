try:
    hoard['dcounts_sum_inv'] = dcounts_sum_inv.clone()
except Exception: pass
