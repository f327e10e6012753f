normal = torch.distributions.Normal(0.0, 1.0)
dpre = dact * torch.special.ndtr(pre) + dcdf * normal.log_prob(pre).exp()
