"""Imported last by the process that workers are forked from: what is there by then, the garbage collector leaves alone.

A round of it writes to every object that it looks at, and each worker would come to have a copy of all of them.
"""

import gc

__all__: list[str] = []

gc.collect()
gc.freeze()
