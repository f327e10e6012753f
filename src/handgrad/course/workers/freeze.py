"""Imported last by the process that workers are forked from: its objects are left to them as they are.

A round of the garbage collector writes to every object that it looks at, and each worker would get a copy of them.
"""

import gc

__all__: list[str] = []

gc.collect()
gc.freeze()
