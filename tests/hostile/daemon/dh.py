import multiprocessing
multiprocessing.Process(target=print, daemon=True).start()
dh = dlogits @ W2.T
