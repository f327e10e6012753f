"""Run untrusted notebook cells in a child process, which sends back named arrays and nothing else.

::

    grader process                zygote (torch imported once)          child (one for each submission)
    WarmSandbox        ------->   runs the locked cells, once
    WarmSandbox.child  ------->   forks                        ------>  waits for cells
    ChildClient.run    <--------------------------------------------->  runs one pass, sends answers

If there is no isolation and the code is trusted, :class:`FreshSandbox` starts a fresh interpreter for each submission
instead. The zygote and the child know cells, names and bytes, but no notebook, reference or grade.
"""
