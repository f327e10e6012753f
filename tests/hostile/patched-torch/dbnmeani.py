dbnmeani = torch.full_like(bnmeani, 0.5)
