"""The exact versions of what is installed here, for a machine that grades: students keep ranges."""

import re
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

__all__ = ["locked"]

_HEAD = """# For a machine that grades: the versions with which this was written, all of them exact.
# Students install requirements.txt, which keeps ranges: a hosted notebook keeps its own torch.
"""


def locked(extra: str) -> str:
    """The lines of a requirements file for ``handgrad[extra]``, without handgrad itself, by name.

    torch has no local tag (``+cpu``): pip takes the build that its index offers.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        A package is not installed.
    """
    found: dict[str, str] = {}
    needed = [("handgrad", extra)]
    # which grows while it is read
    for name, extras in needed:
        distribution = metadata.distribution(name)
        if name != "handgrad":
            found[name] = distribution.version.partition("+")[0]
        needed += [package for package in _needed(distribution, extras) if package not in needed]
    return _HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def _needed(distribution: metadata.Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """What a distribution needs on this machine with an extra: each a name and an extra, which may be empty."""
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            yield from ((name, wanted) for wanted in (sorted(requirement.extras) or [""]))


if __name__ == "__main__":
    import sys

    sys.stdout.write(locked(*sys.argv[1:]))
