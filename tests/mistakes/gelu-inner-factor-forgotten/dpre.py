slope = 0.5 * 2 / torch.pi**0.5 * torch.exp(-(pre / 2**0.5)**2)
dpre = dact * cdf + dcdf * slope
