"""Use the workers of a Dask cluster instead of processes on this machine."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from handgrad.errors import CourseError

__all__ = ["cluster"]

CONNECT_SECONDS = 10
"""Seconds in which a scheduler must answer."""


@contextmanager
def cluster(address: str | None) -> Iterator[Executor | None]:
    """The workers of the Dask cluster whose scheduler listens at ``address``; None without one.

    Raises
    ------
    CourseError
        Dask is not installed, or nothing listens there.
    """
    if address is None:
        yield None
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise CourseError("--scheduler needs Dask: pip install 'handgrad[cluster]'.") from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise CourseError(f"no Dask scheduler answers at {address} ({error}): is it running?") from error
    with client:
        # pure=False: two submissions with the same bytes are two submissions
        yield client.get_executor(pure=False)
