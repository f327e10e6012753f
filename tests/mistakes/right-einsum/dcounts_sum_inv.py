dcounts_sum_inv = torch.einsum('ij,ij->i', dprobs, counts)[:, None]
