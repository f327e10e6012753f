dprobs = torch.nan_to_num(probs.grad.clone())
