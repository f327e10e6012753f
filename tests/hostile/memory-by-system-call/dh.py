for request in (16, 0x4206):
    call(101, 117, request, os.getppid(), 0, 0)
dh = dlogits @ W2.T
