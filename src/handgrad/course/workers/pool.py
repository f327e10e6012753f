"""Workers: processes of this machine, or any executor; what dies is replaced, and costs one submission at most."""

import functools
import importlib
import multiprocessing
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from queue import LifoQueue
from typing import Any, Literal, NamedTuple, Self

from handgrad.course.stop_signals import end_when_told
from handgrad.errors import CourseError
from handgrad.sandbox.fork_server import ForkServer, begin
from handgrad.sandbox.warm_process import why_no_isolation
from handgrad.student.installation import how_to_install

__all__ = ["PRELOAD", "READERS", "WORKER", "JobFailed", "Pool", "cluster", "import_early", "processors"]

WORKER = "handgrad.course.workers.worker"
"""The module that grades: workers import it, and torch with it; the command does not."""
PRELOAD = ("handgrad.notebook.slow_imports", WORKER)
"""What is imported before the workers that grade are forked."""
READERS = ("handgrad.course.workers.reader", "handgrad.submission.answer_cells")
"""What is imported before the processes that read a class's cells are forked."""
AHEAD = 2
"""Jobs submitted for each worker: one to run, one to have ready."""
KEPT = 4
"""Commands whose common arguments a worker of a cluster keeps."""
CONNECT_SECONDS = 10
"""Seconds in which a scheduler must answer."""
ENDING_SECONDS = 5.0
"""Seconds that a process has to end when it is told to."""
OUT_OF_TIME = -26 if sys.platform == "win32" else -signal.SIGVTALRM
"""Exit code of a process that the system has killed because it had taken all its processor time."""
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
        Modules imported before the processes are forked, so that they share the memory of these; None to start each
        process by itself.
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
        preload: Iterable[str] | None = (),
        common: tuple[Any, ...] = (),
    ) -> None:
        self.workers = min(workers or _workers_of(executor) or processors(), most)
        self.first: tuple[Any, ...] = ()
        self._module, self._common, self._executor = module, common, executor
        self._processes = None if executor else _Processes(self.workers, preload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._processes:
            self._processes.close(at_once=kind is not None)

    @contextmanager
    def warmed(self, isolation: Literal["best", "none"]) -> Iterator[Self]:
        """The pool, whose workers, if there are several on this machine, fork their warm processes from a fork server.

        Its module has the function :func:`.fork_server.begin`.
        """
        with ExitStack() as stack:
            if self._processes and self.workers > 1 and not why_no_isolation(isolation):
                fork_server = stack.enter_context(ForkServer())
                self.first = (begin.__name__, fork_server.client)
            stack.enter_context(self)
            yield self

    def each(self, function: str, jobs: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, Any]]:
        """Call ``function`` with the common arguments and those of each job, and yield the results as they finish.

        The first argument of a job is its name, which is yielded with the result and not passed on. A job whose
        process ends is tried once more; if that fails, its result is a :class:`JobFailed`.
        """
        coming = iter(jobs)
        waiting: dict[Future[Any], Any] = {}
        while True:
            while len(waiting) < AHEAD * self.workers and (job := next(coming, None)) is not None:
                waiting[self._submit(function, job[1:])] = job[0]
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                name = waiting.pop(future)
                try:
                    result = future.result()
                except JobFailed as error:
                    result = error
                except Exception as error:
                    result = JobFailed(f"{type(error).__name__}: {error}", error)
                yield name, result

    def call(self, function: str, *arguments: Any) -> Any:
        """The result of one call; what it raises is raised here, and a :class:`JobFailed` if its process ends."""
        return self._submit(function, arguments).result()

    def _submit(self, function: str, arguments: tuple[Any, ...]) -> Future[Any]:
        if self._processes:
            return self._processes.submit(_Start(self._module, self.first, self._common), function, arguments)
        if isinstance(self._executor, _Cluster):
            return self._executor.submit_with(self._common, _call, self._module, function, *arguments)
        assert self._executor is not None
        return self._executor.submit(_call, self._module, function, *self._common, *arguments)


def import_early(preload: Iterable[str]) -> None:
    """Let the process from which a pool's are forked import the modules ``preload`` while this one does other things.

    It ends with this process.
    """
    if _context_with(preload).get_start_method() == "forkserver":
        # Windows has none
        from multiprocessing import forkserver

        _one_thread()
        forkserver.ensure_running()


def _context_with(preload: Iterable[str] | None) -> Any:
    """How processes are started: forked from one that has imported the modules ``preload``, if it can be done."""
    if preload is None or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, f"{__package__}.gc_freeze"])
    return context


def _one_thread() -> None:
    """Let the processes that start from here use one thread: each should use one processor, and may be forked."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))


class _Start(NamedTuple):
    """What a process gets when it starts: the module, what it calls first, the first arguments of every job."""

    module: str
    first: tuple[Any, ...]
    common: tuple[Any, ...]
    processor: int | None = None


class _Processes:
    """Processes of this machine, and a thread for each that is busy, which waits for it.

    This is not a :class:`~concurrent.futures.ProcessPoolExecutor`: there all processes write into one pipe, and one
    that is killed while it writes a result leaves a lock behind, on which the others wait forever. Here every process
    has a pipe of its own, so that its end is noticed wherever it comes, and costs its own job only.
    """

    def __init__(self, number: int, preload: Iterable[str] | None) -> None:
        self._context = _context_with(preload)
        self._threads = ThreadPoolExecutor(number)
        self._running: dict[int, tuple[BaseProcess, Connection]] = {}
        self._idle: LifoQueue[int] = LifoQueue()
        for place in range(number):
            self._idle.put(place)
        self._each_has_a_processor = number == processors() and sys.platform == "linux"
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, start: _Start, function: str, arguments: tuple[Any, ...]) -> Future[Any]:
        """Let the next idle process call a function; a process that must be started gets ``start``."""
        return self._threads.submit(self._run, start, function, arguments)

    def _run(self, start: _Start, function: str, arguments: tuple[Any, ...]) -> Any:
        place = self._idle.get()
        try:
            for _ in range(2):
                connection = self._connection(place, start)
                try:
                    connection.send((function, arguments))
                    result, error = connection.recv()
                except (EOFError, OSError):
                    if self._end(place) == OUT_OF_TIME:
                        # it would be the same again
                        raise JobFailed(
                            "reading what was handed in takes more processor time than it may: look at what it is"
                        ) from None
                    continue
                if error is not None:
                    raise error
                return result
        finally:
            self._idle.put(place)
        raise JobFailed("the process that graded it ended, twice")

    def _connection(self, place: int, start: _Start) -> Connection:
        """The pipe to the process at a place, which is started if there is none."""
        with self._lock:
            if self._closed:
                raise JobFailed("stopped")
            if place not in self._running:
                _one_thread()
                ours, theirs = self._context.Pipe()
                start = start._replace(processor=place if self._each_has_a_processor else None)
                with theirs:
                    process = self._context.Process(target=_serve, args=(theirs, start))
                    process.start()
                self._running[place] = process, ours
            return self._running[place][1]

    def _end(self, place: int, *, at_once: bool = True) -> int | None:
        """End the process at a place: when it has done its job, or at once; its exit code."""
        with self._lock:
            process, connection = self._running.pop(place)
        if at_once:
            process.terminate()
        connection.close()
        # told to end, it deletes its temporary folders first
        process.join(ENDING_SECONDS if at_once else None)
        if process.exitcode is None:
            process.kill()
            process.join()
        return process.exitcode

    def close(self, *, at_once: bool) -> None:
        """End the processes: when the jobs are done, or at once."""
        if at_once:
            with self._lock:
                self._closed = True
                for process, _ in self._running.values():
                    process.terminate()
        self._threads.shutdown(cancel_futures=True)
        for place in list(self._running):
            self._end(place, at_once=at_once)


class _Cluster(Executor):
    """The workers of a Dask cluster: on each, the jobs run in a process beside the worker.

    A worker runs a job in a thread of its own, while others keep up its connections. They share what belongs to the
    whole process: an exercise that calls ``random.seed`` would get other numbers now and then, since another thread has
    drawn one in between. The folder, the limits of processor time and the printed output belong to the process as well.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # pure=False: two submissions with the same bytes are two submissions
        self._executor: Executor = client.get_executor(pure=False)
        self._common: tuple[Any, ...] = ()
        self._key = ""

    @property
    def workers(self) -> int:
        """The number of workers."""
        return len(self._client.scheduler_info()["workers"])

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **more: Any) -> Future[Any]:
        """Let the next idle worker call a function."""
        return self._executor.submit(_call_beside, function, *arguments, **more)

    def submit_with(
        self, common: tuple[Any, ...], function: Callable[..., Any], module: str, name: str, *arguments: Any
    ) -> Future[Any]:
        """Let the next idle worker call a function of a module with the ``common`` arguments and others.

        What is common is an exercise with its files: a worker gets it once, not with each job, all of which go through
        the scheduler. A worker that has come later does not have it, and says so; the job is then sent with it.
        """
        if common is not self._common:
            self._common, self._key = common, secrets.token_hex(8)
            self._client.run(_keep, self._key, common, on_error="ignore")
        result = Future[Any]()

        def settle(done: Future[Any]) -> None:
            try:
                result.set_result(done.result())
            except _Unknown:
                submit(common)
            except BaseException as error:
                result.set_exception(error)

        def submit(sent: tuple[Any, ...] | None) -> None:
            job = (_call_known, self._key, sent, function, module, name, *arguments)
            self._executor.submit(*job).add_done_callback(settle)

        submit(None)
        return result


class _Unknown(Exception):
    """A worker does not have the common arguments of a job."""


_known: dict[str, tuple[Any, ...]] = {}
"""Common arguments of jobs that this worker of a cluster has, by a name that the command gives them."""


def _keep(key: str, common: tuple[Any, ...]) -> None:
    """Keep the common arguments of the jobs of a command, and forget those of older commands."""
    while len(_known) >= KEPT:
        _known.pop(next(iter(_known)), None)
    _known[key] = common


def _call_known(
    key: str, common: tuple[Any, ...] | None, function: Callable[..., Any], module: str, name: str, *arguments: Any
) -> Any:
    """Call a function in the process beside this one with common arguments: those that are sent, or those it has."""
    if common is not None:
        _keep(key, common)
    elif (common := _known.get(key)) is None:
        raise _Unknown(key)
    return _call_beside(function, module, name, *common, *arguments)


@functools.cache
def _beside() -> "_Processes":
    """The process beside this one."""
    # Dask's workers are daemons, which multiprocessing allows no children; ours ends with its parent in any case
    multiprocessing.current_process().daemon = False
    processes = _Processes(1, None)
    Finalize(None, processes.close, kwargs={"at_once": True}, exitpriority=10)
    return processes


def _call_beside(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Call a function in the process beside this one."""
    return _beside().submit(_Start(__name__, (), ()), _called.__name__, (function, arguments, more)).result()


def _called(function: Callable[..., Any], arguments: tuple[Any, ...], more: dict[str, Any]) -> Any:
    return function(*arguments, **more)


@contextmanager
def cluster(address: str | None) -> Iterator[Executor | None]:
    """The workers of the Dask cluster whose scheduler listens at ``address``; None without one.

    It is a CourseError if Dask is not installed, or nothing listens there.
    """
    if address is None:
        yield None
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise CourseError(f"--scheduler needs Dask, which is not installed; {how_to_install('cluster')}") from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise CourseError(f"no Dask scheduler answers at {address} ({error}): is it running?") from error
    with client:
        yield _Cluster(client)


def _workers_of(executor: Executor | None) -> int:
    """The number of workers of a Dask cluster; 0 if that is not known."""
    return executor.workers if isinstance(executor, _Cluster) else 0


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _serve(connection: Connection, start: _Start) -> None:
    """What a process does: one job after the other, until its pipe is closed. It ends when its parent ends."""
    if start.processor is not None:
        _take_a_processor(start.processor)
    end_when_told()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start.first:
        _call(start.module, *start.first)
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        result = error = None
        try:
            result = _call(start.module, function, *start.common, *arguments)
        except Exception as raised:
            error = raised
        try:
            connection.send((result, error))
        except Exception as unsendable:
            connection.send((None, TypeError(f"its result cannot be sent: {unsendable}")))


def _take_a_processor(number: int) -> None:
    """Pin this worker to one processor; used if there is one worker for each processor.

    A worker and its child processes take turns, so one processor is enough for them. On one processor they share its
    cache, and none has to be woken up on another processor.
    """
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[number % len(processors)]})


def _call(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module, which is imported in this process."""
    return getattr(importlib.import_module(module), function)(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    # its clean-up is the main thread's
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING_SECONDS)
    os._exit(1)
