"""Run untrusted notebook cells in a child process; named arrays come back, nothing else.

::

    grader process                zygote (torch imported once)          child (one for each submission)
    Sandbox.start      ------->   runs the locked cells, once
    Sandbox.child      ------->   forks                        ------>  waits for cells
    Child.run          <--------------------------------------------->  runs one pass, sends answers

The zygote and the child know cells, names and bytes; they know no notebook, no reference and no grade.
"""

from handgrad.sandbox.limits import Limits
from handgrad.sandbox.messages import Answer, CellResult, Death, PassResult, Run, State
from handgrad.sandbox.parent import Child, Sandbox

__all__ = ["Answer", "CellResult", "Child", "Death", "Limits", "PassResult", "Run", "Sandbox", "State"]
