dembcat = yes(embcat)
