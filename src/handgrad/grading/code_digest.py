"""A digest of the code that decides verdicts: another one is another grader, whatever its version is called."""

import functools
import hashlib
from pathlib import Path

from handgrad.notebook.syntax import code_of

__all__ = ["code_digest"]

PACKAGES = ("exercise", "gradients", "grading", "notebook", "sandbox", "submission")
"""Packages whose code decides verdicts; of ``student``, on which this package builds too, it uses the recorder only."""


@functools.cache
def code_digest() -> str:
    """SHA-256 over the code of these packages, without comments, docstrings, layout and line numbers."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*")):
        if path.suffix == ".py":
            digest.update(
                f"{path.relative_to(root).as_posix()}: {code_of(path.read_text(encoding='utf-8'))}\n".encode()
            )
        elif path.suffix == ".json":
            digest.update(path.read_bytes())
    return digest.hexdigest()
