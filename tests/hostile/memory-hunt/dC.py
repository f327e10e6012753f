dC = hunt(C)
