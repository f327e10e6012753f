dbnraw = yes(bnraw)
