"""The names that the exercises train on: read and checked, or downloaded as the lecture has them.

A names file is plain ASCII, with one name of the letters a to z a line. Anything else would silently become extra
characters of the model's vocabulary, so it is refused here, with the line and what to do.
"""

import os
import re
from pathlib import Path

from handgrad.errors import DataError
from handgrad.student.installation import how_to_install

__all__ = ["LECTURE_SHA256", "LECTURE_URL", "read_names", "write_lecture_names"]

LECTURE_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
LECTURE_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

_SHOWN = 40  # characters of an offending line in a message
_HTML = re.compile(rb"<!doctype\b|<html\b", re.IGNORECASE)
_NAME = re.compile(rb"[a-z]+")
_LETTERS = b"abcdefghijklmnopqrstuvwxyz\n"
_BOMS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_REWRITE = "save it as plain text with one lower-case name (a to z) a line"


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """The names in a file with one name of the letters a to z a line, in its order, duplicates kept; never empty.

    Every line is checked; the last one may lack its newline.

    Raises
    ------
    DataError
        The file cannot be read or a line is not a name; the message has the line (counted from 1) and what to do.
    """
    content = _read(path)
    if not content:
        raise DataError(f"{path}: the file is empty; download it again, or {_REWRITE}")
    _refuse_html(path, content)
    # line by line this takes 7 ms in place of 0.3, and each start of a grader reads the file a dozen times
    if content.translate(None, _LETTERS) or b"\n\n" in content or content.startswith(b"\n"):
        lines = content.split(b"\n")
        if not lines[-1]:
            lines.pop()
        faulty = [number for number, line in enumerate(lines, 1) if not _NAME.fullmatch(line)]
        line = lines[faulty[0] - 1]
        what, remedy = _fault(line, first=faulty[0] == 1)
        more = f" ({len(faulty)} lines in all are not names)" if len(faulty) > 1 else ""
        raise DataError(f"{path}, line {faulty[0]}: {_shown(line)} {what}{more}; {remedy}")
    return content.decode("ascii").split()


def write_lecture_names(
    output: Path, *, force: bool = False, url: str = LECTURE_URL, known_hash: str = LECTURE_SHA256
) -> Path:
    """Download the lecture's own names.txt to ``output``, unless it is there already.

    The file is checked before it takes its place. A symbolic link is replaced, and its target stays as it is.

    Parameters
    ----------
    output
        The file to write, which is returned; missing folders are created.
    force
        Whether to replace another file at this place.
    url, known_hash
        The address of the file, and the SHA-256 that it must have, in hexadecimal.

    Raises
    ------
    DataError
        Another file is there and `force` is not set, pooch is not installed, the download failed, the file has another
        hash, or it cannot be written.
    """
    try:
        # a student's installation does not have it
        import pooch  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise DataError(
            f"downloading the lecture's names needs pooch, which is not installed; {how_to_install('grade')}"
        ) from error
    try:
        if output.is_file() and pooch.file_hash(output) == known_hash:
            return output
        if os.path.lexists(output) and not force:
            raise DataError(f"{output}: another file is here; move it away, or use --force to replace it")
        pooch.retrieve(url, known_hash=f"sha256:{known_hash}", fname=output.name, path=output.parent)
        # pooch's file is readable by its owner only, and this one is for a whole class
        output.chmod(0o644)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # those of requests are OSErrors
        raise DataError(
            f"{output}: the lecture's names could not be downloaded from {url}: {error}. Check the address and the "
            f"network and try again, or download the file by hand; its SHA-256 must be {known_hash}"
        ) from error
    return output


def _read(path: str | os.PathLike[str]) -> bytes:
    file = Path(path)
    try:
        if file.is_dir():
            raise DataError(f"{path}: is a folder, not a file; give the path of the file with the names in it")
        if file.exists() and not file.is_file():
            raise DataError(f"{path}: is not a regular file; give the path of a text file with the names")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such file (looked in {Path.cwd()}); put names.txt there, or give its path"
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}; check the file and its permissions"
        ) from error


def _refuse_html(path: str | os.PathLike[str], content: bytes) -> None:
    tag = _HTML.search(content)
    if tag:
        number = content.count(b"\n", 0, tag.start()) + 1
        line = content.split(b"\n", number)[number - 1]
        raise DataError(
            f"{path}, line {number}: {_shown(line)} is HTML: the web page was saved instead of the raw file; "
            "open the page, choose 'Raw' or 'Download raw file', and save that"
        )


def _fault(line: bytes, *, first: bool) -> tuple[str, str]:
    """What is wrong with one line (without its newline), and what to do about the file."""
    mark = next((name for mark, name in _BOMS.items() if first and line.startswith(mark)), None)
    if mark:
        return f"begins with a byte order mark ({mark})", f"{_REWRITE}, as 'UTF-8' without BOM"
    if b"\0" in line:
        return "has NUL bytes (is the file UTF-16, or not text?)", f"{_REWRITE}, as 'UTF-8' without BOM"
    if b"\r" in line:
        return "has a carriage return (Windows line ends, CRLF)", "save it with Unix line ends (LF), or run dos2unix"
    if not line:
        return "is a blank line", "delete the blank lines"
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8 text", _REWRITE
    if re.fullmatch(r"[./\w-]*/names\.txt", text):
        # git without symbolic links (Windows) writes the link's target into the file
        return (
            "is a path, left by a checkout without symbolic links",
            "replace this file by a copy of the one at that path",
        )
    if re.search(r"\s", text):
        return "has spaces", "put each name on a line of its own, without spaces"
    if not text.isascii():
        odd = next(character for character in text if not character.isascii())
        return f"has the non-ASCII character {odd!a}", "write the names with the letters a to z only"
    if text.isalpha():
        return "has capitals", "write the names in lower case"
    odd = next(character for character in text if not character.isalpha())
    return f"has the character {odd!r}", "keep one name a line, of the letters a to z only"


def _shown(line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 3] + b"...")
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
