dbk = dk.sum(0).sum(0)
