"""Verify a course before it is handed out: all its faults, in one run.

Runs the author's own cells in this process: never give it a student's.
"""
