"""Imported last by the process that workers are forked from, to keep its objects out of garbage collection.

A round of the garbage collector writes to every object that it looks at, and each worker would get a copy of them. With
this, a worker has 65 MB of its own after 55 submissions, without it 119 MB.
"""

import gc

__all__: list[str] = []

gc.collect()
gc.freeze()
