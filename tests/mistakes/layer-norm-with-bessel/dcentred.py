dcentred = dnorm * inv_std + dvar * 2 / (n_embd - 1) * centred
