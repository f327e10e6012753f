dhpreact = dh.clone()
dhpreact.mul_(1 - h**2)
