"""Imported last by the process that workers are forked from, to keep its objects out of garbage collection.

The collector writes to every object that it visits, so that each worker would get its own copy of their memory pages.
"""

import gc

__all__: list[str] = []

gc.collect()
gc.freeze()
