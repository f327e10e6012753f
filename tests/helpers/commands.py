"""The command line in this process: what a command prints and how it ends, without a new import of torch for each.

That a command is a process (signals, encodings, what it imports) is tested with processes.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile
from unittest import mock

from nbgrader.apps import ZipCollectApp

from handgrad import cli
from handgrad.course.workers import pool
from helpers.courses import WORKER


@contextmanager
def _this_process(_: str | None) -> Iterator[Executor]:
    """In the place of a cluster."""
    yield WORKER


def handgrad(*arguments: str | Path, folder: Path) -> CompletedProcess[str]:
    """Run a command in ``folder``; what it grades is graded in this process too."""
    words, status = list(map(str, arguments)), 0
    with (
        # files of the system, as faulthandler wants them
        TemporaryFile("w+", encoding="utf-8") as output,
        TemporaryFile("w+", encoding="utf-8") as errors,
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(errors),
        mock.patch.object(sys, "argv", ["handgrad", *words]),
        mock.patch.dict(os.environ, COLUMNS="120"),
        # it stays as it is in this process
        mock.patch.object(gc, "set_threshold"),
        mock.patch.object(pool, "import_early"),
        mock.patch.object(pool, "cluster", _this_process),
    ):
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        for file in (output, errors):
            file.seek(0)
        return CompletedProcess(words, status, output.read(), errors.read())


def zip_collect(assignment: str, folder: Path) -> str:
    """What `nbgrader zip_collect` says in the course in ``folder``, with what it says at the end of the process."""
    said, at_exit = StringIO(), list[Callable[[], object]]()
    with (
        chdir(folder),
        redirect_stdout(said),
        redirect_stderr(said),
        mock.patch("atexit.register", at_exit.append),
        suppress(SystemExit),
    ):
        command = ZipCollectApp()
        command.initialize([assignment])
        command.start()
        for call in at_exit:
            call()
    return said.getvalue()
