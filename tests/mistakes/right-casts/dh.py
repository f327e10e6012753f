dh = torch.matmul(dlogits.detach(), W2.data.t()).float()
