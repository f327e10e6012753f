"""One warm process for all workers of one machine: the first of them starts it, for the others it forks itself.

A worker is given its :class:`Common` when it starts, and asks for a warm process once (:func:`warm_process`).
Whatever ends the one that all have in common, the next grader of a worker has one of its own.
"""

import socket
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Lock
from typing import Self

from handgrad.sandbox.warm import WarmFork, WarmProcess

__all__ = ["Common", "join", "warm_process"]


@dataclass(frozen=True)
class Common:
    """What the workers are given: who has ``first`` starts the process, which hears at ``heard`` what is ``asked``."""

    first: Lock
    asked: socket.socket
    heard: socket.socket

    @classmethod
    def of(cls, context: BaseContext) -> Self:
        """For the workers that are started in ``context``."""
        # packets, each with a descriptor: two that ask at the same time stay two
        return cls(context.Lock(), *socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))

    def close(self) -> None:
        """Close both ends; who was given them has them still."""
        self.asked.close()
        self.heard.close()


_joined: list[Common] = []


def join(common: Common | None) -> None:
    """Let the next warm process of this worker be the common one."""
    _joined[:] = [common] if common else []


def warm_process() -> WarmProcess | WarmFork | None:
    """The warm process for a grader: the common one, the first time it is asked for; later None, which means its own.

    Raises
    ------
    SandboxError
        It cannot be started.
    """
    if not _joined:
        return None
    common = _joined.pop()
    try:
        # who has it keeps it
        if common.first.acquire(block=False):
            return WarmProcess(heard=common.heard)
        return WarmFork(common.asked)
    finally:
        common.close()
