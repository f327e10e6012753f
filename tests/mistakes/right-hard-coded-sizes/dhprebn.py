dhprebn = dbndiff + 1/32 * torch.ones(32, 64) * dbnmeani
