"""Help that grows, for a student who is stuck: ``hint``, ``nudge`` and ``counterexample``.

All of it is made from what the student's own kernel has: the cells that were run and the variables. No worked solution
is read. Cells are never run in the student's namespace: the statements that are needed run again in a dictionary of
their own, in float64.
"""
