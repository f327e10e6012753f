dhpreact = torch.tensor((1 - h.detach().numpy()**2) * dh.detach().numpy())
