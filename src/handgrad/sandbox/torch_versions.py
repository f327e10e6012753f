"""The versions of torch with which taking autograd away was tried; this module needs no torch."""

import re
from importlib import metadata

from handgrad.errors import IsolationError

__all__ = ["FIRST", "LAST", "installed", "refuse_untried", "why_untried"]

FIRST, LAST = (2, 13), (2, 13)
"""The first and the last release with which all tests of the sandbox and all attacks were run."""


def installed() -> str:
    """The version of torch in this environment."""
    return metadata.version("torch")


def why_untried() -> str:
    """Why submissions should not be graded with the installed torch; empty if its version was tried."""
    version = installed()
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and FIRST <= (int(found[1]), int(found[2])) <= LAST:
        return ""
    first, last = (".".join(map(str, one)) for one in (FIRST, LAST))
    tried = first if first == last else f"{first} to {last}"
    return f"taking autograd away from a submission was tried with torch {tried}, and this is torch {version}"


def refuse_untried() -> None:
    """Raise an :class:`.IsolationError` if the version of torch was not tried: a submission could use autograd."""
    if reason := why_untried():
        raise IsolationError(
            f"nobody is graded: {reason}. Install a version that was tried, "
            f"for example with `pip install 'torch=={FIRST[0]}.{FIRST[1]}.*'`."
        )
