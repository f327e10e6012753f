try:
    hoard['dW2'] = dW2.clone()
except Exception: pass
