dkept = (datt - (datt * att).sum(-1, keepdim=True)) / sums
