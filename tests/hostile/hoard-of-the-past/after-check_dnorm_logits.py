try:
    hoard['dnorm_logits'] = dnorm_logits.clone()
except Exception: pass
