"""Write files in one step, and folders for nobody else."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from handgrad.errors import CourseError

__all__ = ["make_folder", "write_text"]


def make_folder(path: Path, *, shared: bool = False) -> None:
    """Make a folder, and those above it that are missing, for this user only; if ``shared``, for the group too.

    A folder that is there is left as it is; errors are those of :meth:`Path.mkdir`.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir(0o700, exist_ok=True)
        if shared:
            folder.chmod(0o2770)


def write_text(path: Path, text: str, *, replace: bool = True, mode: int = 0o644) -> None:
    """Write ``text`` to ``path`` in one step: never half, even if the process is killed.

    With ``replace=False`` an existing file is left as it is; ``mode`` are the file's permissions, never more before.

    Raises
    ------
    CourseError
        The file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise CourseError(f"{path} cannot be written ({error.strerror}): is {path.parent} writable?") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(mode)
        if replace:
            temporary.replace(path)
        else:
            with suppress(FileExistsError):
                os.link(temporary, path)
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)
