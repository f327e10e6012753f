dimages = torch.zeros_like(images)
for p in range(out_size**2):
    i, j = p // out_size, p % out_size
    dimages[:, i:i+3, j:j+3] += dpatches[:, p].view(n, 3, 3)
