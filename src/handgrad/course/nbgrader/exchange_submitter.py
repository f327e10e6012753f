"""Submit to nbgrader's exchange: what a student got with the release is not handed in again."""

import glob
from filecmp import dircmp
from typing import Any

from nbgrader.exchange.default import ExchangeSubmit

from handgrad.notebook.reading import is_notebook

__all__ = ["ExchangeSubmitter"]


class ExchangeSubmitter(ExchangeSubmit):
    """Nbgrader's ``submit`` without the released files, such as the wheel, that the student has not changed."""

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy a student's folder, as nbgrader does."""
        before = self.coursedir.ignore
        unchanged = dircmp(self.release_path, src).same_files
        self.coursedir.ignore = [*before, *(glob.escape(name) for name in unchanged if not is_notebook(name))]
        try:
            super().do_copy(src, dest, log)
        finally:
            self.coursedir.ignore = before
