"""SQLite's rollback journal: truncated, not deleted, while a class is graded."""

import sqlite3
from contextlib import suppress
from typing import Any

__all__ = ["drop_journal", "keep_journal"]


def keep_journal(connection: Any) -> None:
    """Let SQLite empty its journal after each of many transactions, in place of making it anew for each.

    Thousands of files that are made and deleted within a minute slow down every other file of some file systems. A
    database in another mode, such as WAL, is left as it is.
    """
    _change_journal(connection, "delete", "truncate")


def drop_journal(connection: Any) -> None:
    """Delete the journal that :func:`keep_journal` has kept."""
    _change_journal(connection, "truncate", "delete")


def _change_journal(connection: Any, before: str, after: str) -> None:
    # it is not needed for anything: where the database cannot be used, whoever uses it says so
    with suppress(sqlite3.Error):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == before:
            connection.execute(f"PRAGMA journal_mode = {after}")
