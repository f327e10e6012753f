try:
    hoard['dW1'] = dW1.clone()
except Exception: pass
