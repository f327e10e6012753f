"""All layers between a child and the machine, tested by trying to escape.

The warm process enters its own namespaces (:meth:`Isolation.enter`), runs the locked cells, and then closes its root
(:meth:`Isolation.close`). Every child applies the rest to itself before it gets a submission
(:meth:`Isolation.confine`): a private home, limits, landlock, no capabilities, a filter of system calls. If a machine
lacks a layer, the others are still used, and :attr:`Isolation.name` tells which is missing.
"""

import json
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from handgrad.sandbox.isolation import landlock, linux, namespaces, seccomp
from handgrad.sandbox.isolation.limits import Limits

__all__ = ["Isolation", "threads"]


class Isolation:
    """The layers of one warm process and of its children.

    Attributes
    ----------
    name
        ``full``, ``partial: no user namespaces``, ``partial: no landlock`` or ``none``; set by :meth:`close`.
    reason
        Why it is not ``full``.
    """

    def __init__(self) -> None:
        self.name = "none"
        self.reason = ""
        self.namespaces = False
        self._rules: int | None = None
        self._filtered = seccomp.supported()
        self._taken = 0
        self._last_id: int | None = None
        self._folders: list[Path] = []

    def enter(self) -> None:
        """Enter the namespaces if the machine allows it; see :func:`.namespaces.enter`."""
        if self._filtered:
            self.namespaces = namespaces.enter()

    def close(self, limits: Limits) -> None:
        """Close the root, after all files outside have been read; then let a child test whether it can escape.

        Raises
        ------
        RuntimeError
            This process has threads: its children would hang.
        """
        self.limits = limits
        self._taken = limits.taken()
        if threads() != 1:
            raise RuntimeError("the warm process has threads, which do not survive a fork: a locked cell started them")
        descriptor, name = tempfile.mkstemp(dir=Path.cwd())
        os.close(descriptor)
        if self._filtered:
            if self.namespaces:
                # opened while there is a /proc
                with suppress(OSError):
                    self._last_id = os.open("/proc/sys/kernel/ns_last_pid", os.O_WRONLY | os.O_CLOEXEC)
            self._close_root()
            # its part for all processes is computed here, once
            seccomp.program(os.getpid(), without=self._without)
        self.name, self.reason = self._named(self._escapes(Path(name)))

    @property
    def _without(self) -> tuple[str, ...]:
        return () if self.namespaces else seccomp.CHANGES_FILES

    def _close_root(self) -> None:
        self._folders = namespaces.library_folders()
        if self.namespaces:
            namespaces.close_root(self._folders)
            # a child still has to mount its home
            namespaces.drop_root(self._folders, namespaces.CAP_SYS_ADMIN)
            namespaces.end_with_parent()
            os.environ.update(HOME=namespaces.HOME, TMPDIR=namespaces.HOME)
            tempfile.tempdir = None
        if landlock.version():
            devices = [Path(device) for device in namespaces.DEVICES]
            shown = [Path("/")] if self.namespaces else [*self._folders, *devices]
            # the home of a child is mounted beneath the folder that its rule names
            writable = [Path(namespaces.HOME).parent] if self.namespaces else []
            self._rules = landlock.ruleset(shown, [*writable, Path("/dev/null")])

    def _named(self, escapes: list[str]) -> tuple[str, str]:
        """The name of the isolation, and why it is not full, given what a child could still reach."""
        if not self._filtered:
            return "none", f"there is no list of system calls for {linux.ARCHITECTURE}"
        if escapes:
            return "none", f"a process in it could still reach: {', '.join(escapes)}"
        if not self.namespaces:
            return "partial: no user namespaces", "this machine does not allow user namespaces"
        if self._rules is None:
            return "partial: no landlock", "the kernel has no landlock"
        return "full", ""

    def before_fork(self) -> None:
        """Let the next child have the lowest free process id, where this process has its own namespaces.

        The kernel counts on otherwise: a child could start threads, and so leave a number for the next one.
        """
        if self._last_id is not None:
            with suppress(OSError):
                os.pwrite(self._last_id, str(os.getpid()).encode(), 0)

    def confine(self, connection: socket.socket) -> None:
        """Isolate this process, which was just forked; only ``connection`` stays open.

        Raises
        ------
        OSError
            A layer that the machine has cannot be applied: nothing may be run.
        """
        os.setsid()
        if self._filtered:
            if self.namespaces:
                namespaces.private_home(self.limits.file_mb)
            else:
                os.chdir("/")
            linux.prctl(linux.PR.SET_NO_NEW_PRIVS, 1)
            if self._rules is not None:
                landlock.restrict(self._rules)
        _close_all_but(connection.fileno())
        self.limits.apply(self._taken)
        if not self._filtered:
            return
        if self.namespaces:
            linux.drop_capabilities()
        else:
            namespaces.drop_root(self._folders)
        namespaces.end_with_parent()
        seccomp.apply(seccomp.program(os.getpid(), without=self._without))

    def _escapes(self, probe: Path) -> list[str]:
        """What a child can still reach but must not."""
        ours, theirs = socket.socketpair()
        child = os.fork()
        if not child:
            found = ["everything"]
            with suppress(BaseException):
                self.confine(theirs)
                found = [name for name, reach in ESCAPES.items() if _succeeds(reach, probe)]
                found += [f"the system call {name}" for name in seccomp.reached()]
            with suppress(BaseException):
                theirs.sendall(json.dumps(found).encode())
            os._exit(0)
        with ours:
            theirs.close()
            answer = b"".join(iter(lambda: ours.recv(1 << 12), b""))
        os.waitpid(child, 0)
        return list(json.loads(answer)) if answer else ["everything"]


def threads() -> int:
    """Number of threads of this process."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 (a count, not paths)


def _close_all_but(descriptor: int) -> None:
    """Close every descriptor but one; the standard ones become the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, descriptor)
    os.closerange(max(3, descriptor + 1), os.sysconf("SC_OPEN_MAX"))


def _succeeds(reach: Callable[[Path], object], probe: Path) -> bool:
    try:
        reach(probe)
    except OSError:
        return False
    return True


def _fork(_: Path) -> None:
    if not os.fork():
        os._exit(0)


def _execute(_: Path) -> None:
    try:
        os.execv("/nothing", ["nothing"])
    except FileNotFoundError:
        return  # the call was allowed: only the file is missing


ESCAPES: dict[str, Callable[[Path], object]] = {
    "files": lambda probe: probe.read_bytes(),
    "writing": lambda probe: os.close(os.open(probe, os.O_WRONLY)),
    "processes": lambda _: os.listdir("/proc/self"),  # noqa: PTH208 (whether it works is the question)
    "signals": lambda _: os.kill(os.getppid(), 0),
    "the network": lambda _: socket.socket().close(),
    "new processes": _fork,
    "programs": _execute,
}
"""What a child must not reach, and the attempt to reach it, which must raise OSError."""
