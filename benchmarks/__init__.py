"""How fast a class is graded, compared with stock nbgrader and otter-grader: ``python -m benchmarks``.

Each module answers one question and can be run alone: ``python -m benchmarks.two_workers --help``. A run counts only if
every student has full marks afterwards.
"""
