"""Workers: what they do is done once, and one that dies costs its own job at most."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from handgrad.course.workers.pool import JobFailed, Pool


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


def who(_: int) -> int:
    """The process that does it."""
    time.sleep(0.05)
    return os.getpid()


def note(folder: Path) -> None:
    """Leave the number of this process behind."""
    (folder / str(os.getpid())).touch()


def die_of_three(number: int) -> int:
    """End the process for one number, every time."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(number: int, folder: str) -> int:
    """End the process for one number, the first time."""
    mark = Path(folder) / "died"
    if number == 3 and not mark.exists():
        mark.touch()
        os._exit(1)
    return number


def die_while_writing(number: int, folder: str) -> bytes:
    """End the process in the middle of writing one result, the first time."""
    mark = Path(folder) / "died"
    if number == 3 and not mark.exists():
        mark.touch()
        Connection._send = _write_half_and_die  # type: ignore[attr-defined]
    return bytes(1_000_000)


def _write_half_and_die(connection: Connection, data: bytes, *_: object) -> None:
    os.write(connection.fileno(), data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def unsendable(_: int) -> object:
    """What cannot be sent to another process."""
    return lambda: 0


def refuse(number: int) -> int:
    """Raise for one number."""
    if number == 1:
        raise ValueError("not one")
    return number


def test_each() -> None:
    """Every job comes back with its name and its result, in several processes."""
    with Pool(__name__, 2) as pool:
        assert dict(pool.each("double", ((f"job {number}", number) for number in range(20)))) == {
            f"job {number}": 2 * number for number in range(20)
        }
        processes = {process for _, process in pool.each("who", ((number, number) for number in range(10)))}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_what_comes_first(tmp_path: Path) -> None:
    """Every process does first what it is told, those that take the place of others too."""
    pool = Pool(__name__, 2)
    pool.first = ("note", tmp_path)
    with pool:
        dict(pool.each("who", ((number, number) for number in range(10))))
        assert len(list(tmp_path.iterdir())) == 2
        dict(pool.each("die_of_three", [(3, 3)]))
        processes = {process for _, process in pool.each("who", ((number, number) for number in range(10)))}
    assert {str(process) for process in processes} <= {path.name for path in tmp_path.iterdir()}


def where(_: int) -> tuple[int, tuple[int, ...]]:
    """The process that does it, and the processors that it may use."""
    time.sleep(0.05)
    return os.getpid(), tuple(sorted(os.sched_getaffinity(0)))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are kept to processors on Linux only")
def test_a_worker_for_every_processor() -> None:
    """Each is kept to one of its own; with any other number the system says who works where."""
    processors = tuple(sorted(os.sched_getaffinity(0)))
    for workers, wanted in (
        (len(processors), {(processor,) for processor in processors}),
        (len(processors) + 1, {processors}),
    ):
        with Pool(__name__, workers) as pool:
            found = dict(
                result for _, result in pool.each("where", ((number, number) for number in range(8 * workers)))
            )
        assert set(found.values()) == wanted
        assert len(found) == workers
    assert tuple(sorted(os.sched_getaffinity(0))) == processors


class Told:
    """What a process is told once; it counts how often it was sent."""

    sent = 0

    def __reduce__(self) -> tuple[type["Told"], tuple[()]]:
        Told.sent += 1
        return Told, ()


def tell(told: Told, number: int, mark: Path | None = None) -> tuple[str, int]:
    """What was told, and a number; the first time that there is no ``mark``, the process ends."""
    if mark and not mark.exists():
        mark.touch()
        os._exit(1)
    return type(told).__name__, number


def test_what_jobs_have_in_common(tmp_path: Path) -> None:
    """It comes before a job's own arguments, and is sent to each process once, and to an executor with every job."""
    Told.sent = 0
    with Pool(__name__, 2, common=(Told(),)) as pool:
        assert dict(pool.each("tell", ((number, number) for number in range(20)))) == {
            number: ("Told", number) for number in range(20)
        }
        assert Told.sent == 2
        assert dict(pool.each("tell", [(3, 3, tmp_path / "died")])) == {3: ("Told", 3)}
    with ThreadPoolExecutor(1) as executor, Pool(__name__, executor=executor, common=(Told(),)) as pool:
        assert dict(pool.each("tell", [(1, 1)])) == {1: ("Told", 1)}


def test_jobs_are_taken_as_they_are_needed() -> None:
    """No more jobs are handed out than the workers can soon do."""
    taken = []

    def jobs() -> object:
        for number in range(50):
            taken.append(number)
            yield number, number

    with Pool(__name__, 1) as pool:
        results = pool.each("double", jobs())  # type: ignore[arg-type]
        next(results)
        assert len(taken) < 6
        assert len(list(results)) == 49


def test_a_job_that_ends_its_process() -> None:
    """A job that ends its process each time is lost, and said to be; all others are done."""
    with Pool(__name__, 2) as pool:
        results = dict(pool.each("die_of_three", ((number, number) for number in range(12))))
    lost = results.pop(3)
    assert isinstance(lost, JobFailed)
    assert "ended, twice" in str(lost)
    assert results == {number: number for number in range(12) if number != 3}


def test_a_process_that_ends(tmp_path: Path) -> None:
    """A process that ends once costs nothing: its job is done by another."""
    with Pool(__name__, 2) as pool:
        results = dict(pool.each("die_once", ((number, number, str(tmp_path)) for number in range(12))))
    assert results == {number: number for number in range(12)}


def test_a_process_that_ends_while_it_writes_a_result(tmp_path: Path) -> None:
    """Half a result keeps nobody waiting: its job is done by another, and the other process goes on."""
    with Pool(__name__, 2) as pool:
        results = dict(pool.each("die_while_writing", ((number, number, str(tmp_path)) for number in range(12))))
    assert results == dict.fromkeys(range(12), bytes(1_000_000))


def test_a_result_that_cannot_be_sent() -> None:
    """It is an error of its job."""
    with Pool(__name__, 1) as pool:
        ((_, lost),) = pool.each("unsendable", [(1, 1)])
    assert isinstance(lost, JobFailed)
    assert "cannot be sent" in str(lost)


def test_errors_are_results() -> None:
    """What a job raises is its result; the others go on."""
    with Pool(__name__, 1) as pool:
        results = dict(pool.each("refuse", ((number, number) for number in range(4))))
    lost = results.pop(1)
    assert isinstance(lost, JobFailed)
    assert isinstance(lost.error, ValueError)
    assert results == {0: 0, 2: 2, 3: 3}


def test_another_executor() -> None:
    """Any executor does, and stays its owner's."""
    with ThreadPoolExecutor(2) as executor:
        with Pool(__name__, executor=executor) as pool:
            assert dict(pool.each("double", [(1, 1), (2, 2)])) == {1: 2, 2: 4}
        assert executor.submit(double, 4).result() == 8


ORPHANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from handgrad.course.workers.pool import Pool
with Pool("test_pool", 2) as pool:
    for _, process in pool.each("who", ((number, number) for number in range(10_000))):
        print(process, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left(how: signal.Signals) -> None:
    """However the process that started them ends, the workers end with it."""
    command = [sys.executable, "-c", ORPHANS, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        assert starter.stdout
        workers = {int(starter.stdout.readline()) for _ in range(20)}
        starter.send_signal(how)
    deadline = time.monotonic() + 30
    while any(_is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived the process that started it"
        time.sleep(0.1)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
