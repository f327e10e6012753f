dbndiff = t['bndiff'].grad
