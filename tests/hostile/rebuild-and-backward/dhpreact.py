dhpreact = t['hpreact'].grad
