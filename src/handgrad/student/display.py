"""Where output goes: HTML to a notebook's kernel, text to everything else."""

import os
import sys
from typing import Any

__all__ = ["in_notebook", "show"]


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook that shows HTML.

    IPython is not imported for that. nbgrader's Validate runs a notebook too, but shows its errors as text.
    """
    shell = _shell()
    return hasattr(shell, "kernel") and "NBGRADER_VALIDATING" not in os.environ


def show(html: str, text: str) -> None:
    """Show ``html`` in the notebook; ``text`` is for front ends without HTML."""
    _shell().display_pub.publish({"text/html": html, "text/plain": text})


def _shell() -> Any:
    """IPython's shell; None if IPython is not running."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
