"""Write files in one step."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from handgrad.errors import CourseError

__all__ = ["write_text"]


def write_text(path: Path, text: str, *, replace: bool = True) -> None:
    """Write ``text`` to ``path`` in one step: never half, even if the process is killed.

    With ``replace=False`` an existing file is left as it is. A device or a pipe is written to, and stays one.

    Raises
    ------
    CourseError
        The file cannot be written.
    """
    try:
        if replace and path.exists() and not (path.is_file() or path.is_dir()):
            path.write_text(text, encoding="utf-8")
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise CourseError(f"{path} cannot be written ({error.strerror}): is {path.parent} writable?") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        if replace:
            temporary.replace(path)
        else:
            with suppress(FileExistsError):
                os.link(temporary, path)
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)
