"""SQLite's rollback journal: truncated, not deleted, while a class is graded."""

import sqlite3
from contextlib import suppress
from typing import Any

__all__ = ["drop_journal", "keep_journal"]


def keep_journal(connection: Any) -> None:
    """Truncate the rollback journal after a transaction, instead of deleting it and making it again for the next.

    Thousands of files made and deleted within a minute slow down some file systems. A database in another mode, such
    as WAL, is left as it is.
    """
    _change_journal(connection, "delete", "truncate")


def drop_journal(connection: Any) -> None:
    """Delete the journal again after each transaction, and the one kept by :func:`keep_journal`."""
    _change_journal(connection, "truncate", "delete")


def _change_journal(connection: Any, before: str, after: str) -> None:
    # only an optimisation: if the database cannot be used, its next use reports that
    with suppress(sqlite3.Error):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == before:
            connection.execute(f"PRAGMA journal_mode = {after}")
