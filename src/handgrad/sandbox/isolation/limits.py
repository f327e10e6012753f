"""The limits of a submission: time, memory, processes, files."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

try:
    import resource
except ModuleNotFoundError:  # Windows has time limits only
    resource = None  # type: ignore[assignment]

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of one submission.

    Attributes
    ----------
    cell_seconds
        Wall-clock seconds for one cell in one pass.
    submission_seconds
        Wall-clock seconds for a submission, all passes together; also the CPU seconds of one child.
    memory_mb
        MiB of address space of a child beyond that of the warm process.
    file_mb
        MiB of the largest file that a child may write.
    processes
        Processes and threads of the child's user (no effect for root).
    descriptors
        Open files, pipes and sockets of a child.
    visible_seconds
        Wall-clock seconds for one cell in the visible pass (default: ``cell_seconds``).
    """

    cell_seconds: float = 10.0
    submission_seconds: float = 60.0
    memory_mb: int = 1024
    file_mb: int = 64
    processes: int = 256
    descriptors: int = 256
    visible_seconds: float | None = None

    def with_visible(self, seconds: float | None) -> "Limits":
        """These limits with ``seconds`` for one cell of the visible pass, and as many more for the submission."""
        if seconds is None:
            return self
        return replace(self, visible_seconds=seconds, submission_seconds=self.submission_seconds + seconds)

    @staticmethod
    def taken() -> int:
        """Bytes of address space that this process uses now; 0 on systems without that limit."""
        if resource is None or sys.platform != "linux":
            return 0
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()

    def apply(self, taken: int, *, alone: bool = True) -> None:
        """Apply the limits that the system has to this process; they cannot be raised again.

        ``taken`` is the result of :meth:`taken` in the warm process, as the child may not be able to read it. If the
        process is not ``alone``, its user has others, which would count too.
        """
        if resource is None:
            return
        mib = 1 << 20
        wanted = {
            resource.RLIMIT_CPU: int(self.submission_seconds) + 1,
            resource.RLIMIT_FSIZE: self.file_mb * mib,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NOFILE: self.descriptors,
        }
        if alone:
            wanted[resource.RLIMIT_NPROC] = self.processes
        if taken:
            wanted[resource.RLIMIT_AS] = taken + self.memory_mb * mib
        for kind, limit in wanted.items():
            hard = resource.getrlimit(kind)[1]
            allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (allowed, allowed))
