"""The file that a user names to be checked: found, or refused with what to do, before torch is imported."""

import difflib
import itertools
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from handgrad.course.course import CONFIG
from handgrad.course.hand_ins import trusted_folder
from handgrad.errors import HandgradError, SubmissionError
from handgrad.notebook.reading import is_export, is_notebook, read_notebook
from handgrad.notebook.text_limits import limited
from handgrad.notebook.untrusted_files import escaped

__all__ = ["named_notebook", "when_saved", "wrong_suffix"]

MOST_FILES = 500
"""Maximum number of files whose names are compared with a misspelt one."""
RECENT = 300
"""Seconds after which a notebook may well have been changed since it was saved."""
_ADDRESS = re.compile(r"(https?|ftp|file):/", re.IGNORECASE)
_COLAB = re.compile(r"//?(colab\.research|drive|colab)\.google\.com", re.IGNORECASE)
_OTHER_FILES = {
    (".html", ".htm"): "is a web page, not a notebook: save or download the .ipynb file itself",
    (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar"): "is an archive: unpack it, and name the notebook in it",
    (".pdf", ".docx", ".doc", ".odt"): "is a printed copy of a notebook: name the .ipynb file itself",
    (".r",): "is a script in R, and handgrad checks notebooks in Python",
    (".jl",): "is a script in Julia, and handgrad checks notebooks in Python",
}
"""What is said of files that are no notebooks, by their suffix."""
_PYTHON = ("python", "python3", "ipython")


def named_notebook(path: Path, *, needs_exercise: bool = False) -> Path:
    """The file or folder to be checked that ``path`` stands for; what is in it was read once, and is a notebook.

    A folder with a single notebook stands for it. A folder stays a folder if the exercise decides which of its files
    counts: it has an ``exercise.json`` in it, or ``needs_exercise`` is set.

    Raises
    ------
    SubmissionError
        It is no notebook in Python; the message has what it is, and what to do.
    """
    if _ADDRESS.match(str(path)):
        raise SubmissionError(_about_address(str(path)))
    if path.is_dir():
        if needs_exercise or (path / "exercise.json").is_file():
            return path
        path = _only_notebook(path)
    elif not path.exists() and not path.is_symlink():
        raise SubmissionError(_about_missing(path))
    for suffixes, what in _OTHER_FILES.items():
        if path.suffix.lower() in suffixes:
            raise SubmissionError(f"{escaped(path)} {what}.")
    try:
        with limited():
            notebook = read_notebook(path, trusted_folder(path, CONFIG))
    except HandgradError:
        raise
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError):
        return path  # a parser fails at it: the check says so
    if language := _other_language(notebook):
        raise SubmissionError(
            f"{escaped(path)} is a notebook in {language}, and handgrad checks notebooks in Python: "
            "choose a Python kernel, and write the cells in Python."
        )
    return path


def when_saved(path: Path) -> str:
    """When the file at ``path`` was saved, in a sentence; of a file that is not quite new, what to do if it is old."""
    saved = path.stat().st_mtime
    at, age = datetime.fromtimestamp(saved), time.time() - saved
    is_today = at.date() == datetime.now().date()
    clock = at.strftime("today at %H:%M:%S" if is_today else "on %Y-%m-%d at %H:%M")
    more = " If you have changed it since, save it and check again." if age > RECENT else ""
    return f"{escaped(Path(path.name))}, saved {clock} ({_ago(age)}).{more}"


def wrong_suffix(path: Path) -> str:
    """What to do about a notebook to whose name a browser or a mail program has added something; empty otherwise."""
    name, _, _ = path.name.partition(".ipynb")
    if is_notebook(path.name) or ".ipynb" not in path.name:
        return ""
    return f"{escaped(Path(path.name))} is read as a notebook. Rename it to {escaped(Path(name))}.ipynb to hand it in."


def _about_address(address: str) -> str:
    # a path has one slash where an address has two
    address = re.sub(r"(?<=:)/+", "//", address, count=1)
    if _COLAB.search(address):
        return (
            f"{address} is a link to Colab, not a file: in Colab choose File, Download, Download .ipynb, and check "
            "the file that it saves."
        )
    return f"{address} is an address, not a file: download the notebook (.ipynb) first, and check the file."


def _only_notebook(folder: Path) -> Path:
    """The notebook in a folder that has a single one."""
    found = sorted(
        path
        for path in folder.iterdir()
        if is_notebook(path.name) and not path.name.startswith(".") and not path.stem.endswith("-checkpoint")
    )
    if len(found) == 1:
        return found[0]
    if not found:
        raise SubmissionError(f"there is no notebook in {escaped(folder)}: name the notebook itself.")
    names = ", ".join(escaped(Path(path.name)) for path in found)
    raise SubmissionError(f"{escaped(folder)} has {len(found)} notebooks ({names}): name the one to be checked.")


def _about_missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no notebook at {escaped(path)}: there is no folder {escaped(path.parent)}."
    # of two files of one name the nearer one; it is suggested as it has to be written
    paths = {found.name: found for found in reversed([*_candidates(path.parent)])}
    longer = [name for name in paths if name.startswith(f"{path.name}.")]
    near = longer or difflib.get_close_matches(path.name, paths, n=1)
    suggestion = f" Did you mean {escaped(paths[near[0]])}?" if near else ""
    return f"there is no notebook at {escaped(path)}: no such file.{suggestion}"


def _candidates(folder: Path) -> Iterator[Path]:
    """Notebooks in ``folder``, then those in the folders in it."""
    paths = [path for path in _listed(folder) if not path.name.startswith(".")]
    inside = itertools.chain.from_iterable(_listed(path) for path in paths if path.is_dir())
    for path in itertools.islice(itertools.chain(paths, inside), MOST_FILES):
        if is_notebook(path.name) or (is_export(path.name) and ".ipynb" in path.name):
            yield path


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _other_language(notebook: NotebookNode) -> str:
    """The language of a notebook, if it says one that is not Python, and its cells do not show otherwise."""
    metadata: dict[str, Any] = json.loads(json.dumps(notebook.metadata))
    kernel, language = (metadata.get(key) for key in ("kernelspec", "language_info"))
    said = [kernel.get("language")] if isinstance(kernel, dict) else []
    said += [language.get("name")] if isinstance(language, dict) else []
    names = [name for name in said if isinstance(name, str) and name]
    if not names or any(name.lower() in _PYTHON for name in names):
        return ""
    if any("torch" in str(cell.source) for cell in notebook.cells if cell.cell_type == "code"):
        return ""
    return names[0][:20] if names[0].isupper() else names[0][:20].capitalize()


def _ago(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // length)) >= 1:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
