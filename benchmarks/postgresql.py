"""A PostgreSQL server in a temporary folder, which listens on a socket there and nowhere else."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, func, select

__all__ = ["BINARIES", "Server", "server"]

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
"""Where Debian's package ``postgresql`` puts the programs of the newest server; None if there is none."""


@dataclass(frozen=True)
class Server:
    """A running server, whose files are in ``folder``."""

    folder: Path

    @property
    def process(self) -> int:
        """Id of the server's first process."""
        return int((self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])

    def address(self) -> str:
        """Address of its database, as SQLAlchemy knows it."""
        return f"postgresql+psycopg2://postgres@/postgres?host={self.folder}"

    def size(self) -> int:
        """Bytes of its database, with the indexes."""
        engine = create_engine(self.address())
        with engine.connect() as connection:
            found = connection.execute(select(func.pg_database_size("postgres"))).scalar_one()
        engine.dispose()
        return int(found)

    def run(self, *command: str | Path) -> None:
        """Run one of PostgreSQL's programs; a CalledProcessError if it fails."""
        assert BINARIES is not None
        # the server refuses to run as root
        user = "postgres" if os.geteuid() == 0 else None
        program = [BINARIES / command[0], *command[1:]]
        subprocess.run(program, user=user, check=True, cwd=self.folder, capture_output=True)


@contextmanager
def server(*, durable: bool) -> Iterator[Server]:
    """A fresh server; without ``durable`` it does not wait for the disk, and a power failure would lose what it has."""
    # a folder of its own, below no folder that is closed to the user that a server of root's has to be
    with tempfile.TemporaryDirectory(prefix="handgrad-postgres-") as name:
        started = Server(Path(name))
        if os.geteuid() == 0:
            shutil.chown(name, "postgres")
        data = started.folder / "data"
        started.run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--pgdata", data)
        options = f"-k {name} -c listen_addresses='' -c fsync={'on' if durable else 'off'}"
        # its output goes to a file: it would keep a pipe of ours open
        log = ("--log", started.folder / "log")
        started.run("pg_ctl", "--wait", "--pgdata", data, *log, "--options", options, "start")
        try:
            yield started
        finally:
            started.run("pg_ctl", "--wait", "--pgdata", data, "--mode", "fast", "stop")
