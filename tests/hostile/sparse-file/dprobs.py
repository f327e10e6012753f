import mmap
with open('sparse', 'w+b') as file:
    file.truncate(1 << 50)
    mmap.mmap(file.fileno(), 1 << 45)
