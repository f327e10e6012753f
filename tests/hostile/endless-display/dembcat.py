class Slow:
    def _repr_html_(self):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
dembcat = dhprebn @ W1.T
Slow()
