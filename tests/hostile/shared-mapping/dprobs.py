import mmap
maps = []
while True:
    maps.append(mmap.mmap(-1, 1 << 28, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
    maps[-1][:4096] = bytes(4096)
