"""Collect from ngshare, an exchange that is a web service: what it sends is written within the limits of an archive."""

import base64
import io
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ngshare_exchange import ExchangeCollect
from traitlets import Bool

from handgrad.course.files import make_folder
from handgrad.course.nbgrader.database import close_gradebook
from handgrad.course.nbgrader.folders import course_of, released_names
from handgrad.course.nbgrader.unpacking import Limits, Unpacking

__all__ = ["NgshareCollector"]


class NgshareCollector(ExchangeCollect):
    """ngshare's ``collect``, but no file is larger than the course allows, or one that a program takes for its own.

    The time of a hand-in is that at which ngshare has received it.
    """

    src_records: list[dict[str, Any]]
    update = Bool(True, help="Whether a newer hand-in replaces the one that was collected.").tag(config=True)

    def init_src(self) -> None:
        """Find what is to be collected."""
        close_gradebook(self.coursedir)
        super().init_src()
        course = course_of(self)
        faults = {record["student_id"]: course.fault_of_name(record["student_id"]) for record in self.src_records}
        for fault in filter(None, faults.values()):
            self.log.error("%s", fault)
        self.src_records = [record for record in self.src_records if not faults[record["student_id"]]]

    def do_copy(self, src: Sequence[Mapping[str, str]], dest: str) -> None:
        """Write the files of a hand-in into the folder ``dest``, which does not exist."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for file in src:
                archive.writestr(file["path"], base64.b64decode(file["content"]))
        shared, target = self.coursedir.groupshared, Path(dest)
        with tempfile.TemporaryDirectory(prefix="collecting-", dir=course_of(self).private_folder) as name:
            patterns, released = [r"^(?P<student_id>files)/(?P<file_id>.*)"], released_names(self.coursedir)
            unpacking = Unpacking(Path(name), Limits.of(self.coursedir), patterns, [".zip"], released)
            (Path(name) / "files.zip").write_bytes(packed.getvalue())
            unpacking.open_downloaded(Path(name) / "files.zip")
            for line in unpacking.said():
                self.log.warning("%s: %s", target.parent.name, line)
            files = Path(name) / "files"
            for path in (files, *files.rglob("*")):
                path.chmod((0o2770 if path.is_dir() else 0o660) if shared else (0o700 if path.is_dir() else 0o600))
            make_folder(target.parent, shared=shared)
            shutil.move(files, target)
