dbngain = t['bngain'].grad
