"""Run untrusted notebook cells in a child process; named arrays come back, nothing else.

::

    grader process                zygote (torch imported once)          child (one for each submission)
    Sandbox.start      ------->   runs the locked cells, once
    Sandbox.child      ------->   forks                        ------>  waits for cells
    Child.run          <--------------------------------------------->  runs one pass, sends answers

Where nothing isolates, and the code is trusted, :class:`FreshSandbox` starts a fresh interpreter for each submission
instead. The zygote and the child know cells, names and bytes; they know no notebook, no reference and no grade.
"""
