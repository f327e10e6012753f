dh = bytearray(1 << 36)
