dbndiff2 = t['bndiff2'].grad
