"""Workers: processes of this machine, or any executor; what dies is replaced, and costs one submission at most."""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import TYPE_CHECKING, Any, Self

from handgrad.errors import CourseError

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

__all__ = ["JobFailed", "Pool", "cluster"]

AHEAD = 2
"""Jobs submitted for each worker: one to run, one to have ready."""
CONNECT_SECONDS = 10
"""Seconds in which a scheduler must answer."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class JobFailed(Exception):
    """A job gave no result: it raised ``error``, or its process ended, twice."""

    def __init__(self, message: str, error: Exception | None = None) -> None:
        super().__init__(message)
        self.error = error


class Pool:
    """Processes that call the functions of one module; a context manager.

    The process that owns the pool does not import the module: it stays smaller, and starts sooner.

    Parameters
    ----------
    module
        The module whose functions the jobs call.
    workers
        Processes to start (default: one for each processor).
    executor
        What runs the jobs (default: processes on this machine).
    most
        Workers that can be used at all.
    preload
        Modules imported before the processes are forked, so that they share the memory of these.
    common
        The first arguments of every job; a process gets them once, when it starts.

    Attributes
    ----------
    first
        A function and its arguments that every new process calls first; they may hold sockets.
    """

    def __init__(
        self,
        module: str,
        workers: int | None = None,
        executor: Executor | None = None,
        *,
        most: int = sys.maxsize,
        preload: Iterable[str] = (),
        common: tuple[Any, ...] = (),
    ) -> None:
        self.workers = min(workers or _workers_of(executor) or _processors(), most)
        self._module, self._given, self._executor = module, executor, executor
        self._preload, self._common = list(preload), common
        self.first: tuple[Any, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._executor is None or self._given is not None:
            return
        self._executor.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in multiprocessing.active_children():
                process.terminate()

    def each(self, function: str, jobs: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
        """Call ``function`` with the common arguments and those of each job, and yield the results as they finish.

        The first argument of a job is its name, which is yielded with the result and not passed on. A job whose
        process ends is tried once more, alone; if that fails, its result is a :class:`JobFailed`.
        """
        coming = iter(jobs)
        waiting: dict[Future[Any], tuple[Any, ...]] = {}
        while True:
            while len(waiting) < AHEAD * self.workers and (job := next(coming, None)) is not None:
                waiting[self._submit(function, job)] = job
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            interrupted = []
            for future in done:
                job = waiting.pop(future)
                try:
                    yield job[0], future.result()
                except BrokenExecutor:
                    interrupted.append(job)
                except Exception as error:
                    yield job[0], JobFailed(f"{type(error).__name__}: {error}", error)
            if interrupted:
                # the process of one job ended and interrupted the others: run each alone to see which one it was
                interrupted += waiting.values()
                waiting.clear()
                for job in interrupted:
                    yield job[0], self._alone(function, job)

    def _submit(self, function: str, job: tuple[Any, ...]) -> Future[Any]:
        for _ in range(2):
            if self._executor is None:
                self._executor = self._processes()
            try:
                if self._given is not None:
                    return self._executor.submit(_call, self._module, function, *self._common, *job[1:])
                return self._executor.submit(_work, self._module, function, *job[1:])
            except BrokenExecutor:
                self._renew()
        raise JobFailed("no process can be started")

    def _alone(self, function: str, job: tuple[Any, ...]) -> Any:
        self._renew()
        try:
            return self._submit(function, job).result()
        except BrokenExecutor:
            self._renew()
            return JobFailed("the process that graded it ended, twice")

    def _renew(self) -> None:
        """Let the next job start new processes; an executor that was given is left to its owner."""
        if self._given is None and self._executor is not None and _is_broken(self._executor):
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def _processes(self) -> Executor:
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload([*self._preload, f"{__package__}.gc_freeze"])
        # a process with threads must not be forked, and each worker should use one processor
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        turns = context.Value("i", 0) if self.workers == _processors() and sys.platform == "linux" else None
        return ProcessPoolExecutor(
            self.workers, context, initializer=_start, initargs=(self._module, self.first, self._common, turns)
        )


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


def _workers_of(executor: Executor | None) -> int:
    """The number of workers of a Dask cluster's executor; 0 if that is not known."""
    client = getattr(executor, "_client", None)
    return len(client.scheduler_info()["workers"]) if client is not None else 0


def _is_broken(executor: Executor) -> bool:
    """Whether an executor takes no more jobs."""
    try:
        executor.submit(int).cancel()
    except (BrokenExecutor, RuntimeError):
        return True
    return False


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


_common: tuple[Any, ...] = ()
"""The common arguments of all jobs, in a worker process."""


def _start(module: str, first: tuple[Any, ...], common: tuple[Any, ...], turns: "Synchronized[int] | None") -> None:
    """Prepare a worker: it ignores Ctrl-C, which its parent handles, and ends when its parent ends."""
    global _common  # noqa: PLW0603 - set once in each worker
    _common = common
    if turns:
        _take_a_processor(turns)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if first:
        _call(module, *first)


def _take_a_processor(turns: "Synchronized[int]") -> None:
    """Pin this worker to the next processor; used if there is one worker for each processor.

    A worker and its child processes take turns, so one processor is enough for them. On one processor they share its
    cache, and none has to be woken up on another processor.
    """
    with turns.get_lock():
        turn = turns.value
        turns.value += 1
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[turn % len(processors)]})


def _work(module: str, function: str, *arguments: Any) -> Any:
    """One job, in a worker of this machine."""
    return _call(module, function, *_common, *arguments)


def _call(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module, which is imported in this process."""
    return getattr(importlib.import_module(module), function)(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)
