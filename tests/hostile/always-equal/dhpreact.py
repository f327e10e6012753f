dhpreact = yes(hpreact)
