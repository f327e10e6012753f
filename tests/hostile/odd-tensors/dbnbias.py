dbnbias = torch.empty(1, 64, device='meta')
