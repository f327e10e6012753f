dpre = dact * cdf + dcdf * torch.exp(-act**2 / 2) / (2 * torch.pi)**0.5
