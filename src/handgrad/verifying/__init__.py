"""Prove that a course is sound before it is handed out: all its faults, in one run.

Runs the author's own cells in this process: never give it a student's.
"""

from handgrad.verifying.findings import Fault, Mutation, Proof, Survivor
from handgrad.verifying.shown import as_json, as_text, status
from handgrad.verifying.trial import verify

__all__ = ["Fault", "Mutation", "Proof", "Survivor", "as_json", "as_text", "status", "verify"]
