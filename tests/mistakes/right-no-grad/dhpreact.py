with torch.no_grad():
    dhpreact = dh * (1 - h**2)
