"""How fast a class is graded, beside stock nbgrader and otter-grader: ``python -m benchmarks``.

Each module answers one question and may be run by itself: ``python -m benchmarks.two_workers --help``. The clock tells
nothing about wrong results, so whatever is timed must leave full marks for every student, or there is no figure.
"""
