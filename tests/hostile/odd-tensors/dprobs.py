dprobs = torch.complex(probs, probs)
