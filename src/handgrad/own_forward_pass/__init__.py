"""Check a notebook of somebody's own against its own forward pass.

The notebook runs in the sandbox, statement by statement, under a tape of torch calls. From the tape come the graph of
its loss, the formula of every answer, and which variable is compared with which tensor. A self-check: the tape is in
the process of the notebook, which can forge it. `check` is the grader's side, `worker` the sandbox's.
"""
