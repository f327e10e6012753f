dbnmeani = torch.full_like(bnmeani, 1e-9)
