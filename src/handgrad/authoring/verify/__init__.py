"""Verify a course before it is released: all its faults, in one run.

Runs the author's own cells in this process: never pass it a student's notebook.
"""
