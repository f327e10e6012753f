"""Folders in which what was handed in lies: no configuration is read there, whoever wrote it."""

import ast
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["around", "trusted_folder"]

FOLDERS = ("submitted", "autograded", "feedback", "downloaded")
"""What these folders are called unless a course's configuration says otherwise."""
_SETTINGS = tuple(f"{kind}_directory" for kind in FOLDERS)


def around(start: Path, config: str) -> Path | None:
    """The outermost folder of hand-ins that ``start`` lies in, by its name; None if it lies in none.

    Names are the usual ones, and those that a configuration (a file called ``config``) in a folder above sets. The
    configuration is looked at, not run. A path counts as it was written and with its links followed.
    """
    places = [Path(os.path.normpath(Path.cwd() / start)), start.resolve()]
    if not start.is_absolute() and "PWD" in os.environ:
        # where the shell is, by the links through which it came
        with suppress(OSError):
            shell = Path(os.environ["PWD"])
            if shell.is_absolute() and shell.samefile(Path.cwd()):
                places.append(Path(os.path.normpath(shell / start)))
    found = [folder for place in places for folder in (place, *place.parents) if _is_one(folder, config)]
    return min(found, key=lambda folder: len(folder.parts), default=None)


def trusted_folder(path: Path, config: str) -> Path | None:
    """The folder above ``path`` below which others' files are, so that no link is followed; None for one's own."""
    place = around(path.parent, config)
    if place is None:
        return None
    full = Path(os.path.normpath(Path.cwd() / path))
    # where the user is, or has come to by a link, is the user's own choice
    below = len(full.relative_to(place).parts) if full.is_relative_to(place) else 1
    return path.parents[min(below, len(path.parents)) - 1]


def _is_one(folder: Path, config: str) -> bool:
    if folder.name.casefold() in FOLDERS:
        return True
    return any(folder == above / name for above in folder.parents for name in _names(above / config))


def _names(path: Path) -> Iterator[Path]:
    """The folders of hand-ins that a configuration names in plain assignments."""
    if not path.is_file():
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Constant(value=str(folder))):
                if name in _SETTINGS:
                    yield Path(os.path.normpath(folder))
