"""Isolation: each layer tried call by call from inside, seen from outside, as root and as an unprivileged user."""

import os
import re
import signal
import struct
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from handgrad.errors import IsolationError, SandboxError
from handgrad.sandbox.isolation import namespaces, seccomp
from handgrad.sandbox.isolation.limits import Limits
from handgrad.sandbox.isolation.linux import ARCHITECTURE
from handgrad.sandbox.messages import ParameterSet, PassResult, Run
from handgrad.sandbox.sandbox import Required, enough
from handgrad.sandbox.warm_sandbox import PRELOAD, WarmSandbox
from helpers.inputs import named
from helpers.paths import ROOT, TESTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation is Linux's")

PARTIAL = "partial: no user namespaces"
LIMITS = Limits(cell_seconds=10.0, submission_seconds=60.0, memory_mb=1024, file_mb=8)
LOCKED = "import torch\nx = torch.arange(4.0)\nheld = open('helper.txt')\ntext = held.read()"

# A warm process on a machine that lacks something: it starts like any other, but the layer says that it is not there.
LACKING = {
    PARTIAL: "from handgrad.sandbox.isolation import namespaces\nnamespaces.enter = lambda: False",
    "partial: no landlock": "from handgrad.sandbox.isolation import landlock\nlandlock.version = lambda: 0",
    "none": "from handgrad.sandbox.isolation import seccomp\nseccomp.supported = lambda: False",
}


def _lack(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the warm processes that are started from here on lack what the isolation ``name`` lacks."""
    script = folder / "python"
    script.write_text(
        f"#!{sys.executable} -I\n{LACKING[name]}\nimport sys\nsys.argv = sys.argv[3:]\n"
        "from handgrad.sandbox import zygote_main\nzygote_main.main()\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def first_is_fast(names: Iterable[str]) -> list[object]:
    """Names as parameters, each of which starts a warm process: all but the first are slow tests."""
    first, *others = names
    return [first, *(pytest.param(name, marks=pytest.mark.slow) for name in others)]


def _sandbox(folder: Path, *, locked: str = LOCKED, preload: Sequence[str] = ("numpy",)) -> WarmSandbox:
    (folder / "helper.txt").write_text("found", encoding="utf-8")
    return WarmSandbox([ParameterSet("one", (locked,))], folder, LIMITS, preload)


@pytest.fixture(scope="module", params=["full", pytest.param(PARTIAL, marks=pytest.mark.slow)])
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmSandbox]:
    """A warm process with all layers, and one on a machine without user namespaces."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param in LACKING:
            _lack(request.param, tmp_path_factory.mktemp("lacking"), patch)
        with _sandbox(tmp_path_factory.mktemp("exercise"), preload=PRELOAD) as sandbox:
            patch.undo()
            sandbox.wait_until_ready()
            if request.param == "full" and sandbox.isolation != "full":
                pytest.skip(f"this machine offers isolation {sandbox.isolation!r} only")
            assert sandbox.isolation == request.param
            yield sandbox


def _run(sandbox: WarmSandbox, *cells: str, collect: Sequence[str] = ("a",), outputs: bool = False) -> PassResult:
    """One pass over ``cells`` in a child of its own; ``collect`` is taken after the last."""
    last = len(cells) - 1
    with sandbox.child([textwrap.dedent(cell) for cell in cells]) as child:
        return child.run(Run("one", tuple(range(len(cells))), {last: tuple(collect)}, outputs=outputs))


def _numbers(sandbox: WarmSandbox, *cells: str) -> list[float]:
    """The list of numbers that the last cell leaves in ``a``."""
    result = _run(sandbox, *cells)
    index = len(cells) - 1
    assert result.death is None, result.death
    assert result.cells[index].error is None, result.cells[index].error
    value = result.cells[index].answers["a"].value
    assert value is not None
    return value.reshape(-1).tolist()


# the filter itself

# fmt: off
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # programs and processes
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "setsid": (112, 157),
    "setpgid": (109, 154), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "move_pages": (279, 239), "migrate_pages": (256, 238), "personality": (135, 92),
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "ioprio_set": (251, 30), "setrlimit": (160, 164), "acct": (163, 89), "getpriority": (140, 141),
    "sched_setattr": (314, 274), "sched_getattr": (315, 275), "sched_setparam": (142, 118), "ioprio_get": (252, 31),
    "set_tid_address": (218, 96), "getcpu": (309, 168),
    # what outlives a process, or tells of others: locks, the page cache, counters of the machine and of the user
    "flock": (73, 32), "fadvise64": (221, 223), "readahead": (187, 213), "sync": (162, 81), "syncfs": (306, 267),
    "sync_file_range": (277, 84), "getrusage": (98, 165), "sysinfo": (99, 179), "statfs": (137, 43),
    "fstatfs": (138, 44), "sendmsg": (46, 211), "recvmsg": (47, 212), "sendmmsg": (307, 269), "recvmmsg": (299, 243),
    "setsockopt": (54, 208), "sendfile": (40, 71), "copy_file_range": (326, 285), "fallocate": (285, 47),
    "tee": (276, 77), "inotify_init": (253, None), "inotify_add_watch": (254, 27), "remap_file_pages": (216, 234),
    # signals to others
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "timer_create": (222, 107), "signalfd4": (289, 74),
    # the network
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # ways round a filter, and into the kernel
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "seccomp": (317, 277), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "modify_ldt": (154, None), "ioperm": (173, None),
    "iopl": (172, None), "syslog": (103, 116), "lookup_dcookie": (212, 18), "mincore": (27, 232),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "mlock": (149, 228), "mlockall": (151, 230),
    "mlock2": (325, 284), "set_mempolicy": (238, 237), "mbind": (237, 235),
    # the machine, its mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "mount_setattr": (442, 442), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446),
    "reboot": (169, 142), "swapon": (167, 224), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "sethostname": (170, 161), "quotactl": (179, 60), "vhangup": (153, 58), "inotify_init1": (294, 26),
    "fanotify_init": (300, 262), "openat2": (437, 437), "splice": (275, 76), "vmsplice": (278, 75),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # ids and owners
    "setuid": (105, 146), "setgid": (106, 144), "setresuid": (117, 147), "setresgid": (119, 149),
    "setgroups": (116, 159), "capset": (126, 91), "chown": (92, None), "fchownat": (260, 54), "setxattr": (188, 5),
    "mknod": (133, None), "mknodat": (259, 33),
}
# fmt: on
COLUMN = {"x86_64": 0, "aarch64": 1}
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, EPERM, EAGAIN, ENOSYS, SUCCESS = 0x7FFF0000, 0x00050001, 0x0005000B, 0x00050026, 0x00050000
THREAD = 0x3D0F00
"""The flags with which the C library starts a thread."""
PROCESS = 0x01200011
"""The flags with which it forks."""


def _decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run a filter as the kernel does: a second implementation of the few instructions that ours uses."""
    data = struct.pack(
        "<IIQ6Q", number, architecture, 0, *(argument % (1 << 64) for argument in (*arguments, *[0] * 6)[:6])
    )
    lines = list(struct.iter_unpack("<HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = lines[at]
        at += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, value)[0]
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("architecture", COLUMN)
def test_filter_number_by_number(architecture: str) -> None:
    """What is listed is allowed, what is not is refused, what is newer is unknown; on both architectures."""
    program, column = seccomp.program(77, architecture), COLUMN[architecture]
    assert len(program) // 8 <= 4096
    allowed = {row[column] for row in seccomp.ALLOWED.values()} - {None}
    conditional = {row[column] for row in seccomp.CONDITIONAL.values()}
    answered = {row[column]: 0x00050000 | row[2] for row in seccomp.ANSWERED.values()}
    assert not allowed & (conditional | answered.keys() | {row[column] for row in FORBIDDEN.values()})
    assert not conditional & answered.keys()
    for number in range(700):
        decision = _decide(program, AUDIT[architecture], number, -1, -1, -1, -1)
        if number in allowed:
            assert decision == ALLOW, number
        elif number in answered:
            assert decision == answered[number], number
        elif number >= 450:
            assert decision == ENOSYS, number
        else:
            assert decision == EPERM, number


@pytest.mark.parametrize("architecture", COLUMN)
def test_filter_argument_by_argument(architecture: str) -> None:
    """Threads yes, processes no; signals to itself yes, to others no; streams yes, datagrams no; and so on."""
    program, column = seccomp.program(77, architecture), COLUMN[architecture]
    expected: dict[str, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]] = {
        "clone": (
            [(THREAD,), (THREAD | 0x400000,)],
            [
                *[(PROCESS,), (0,), (17,), (0x4111,), (THREAD | 0x10000000,), (THREAD & ~0x10000,)],
                # another table of descriptors, another input and output context, a descriptor of the thread
                *[(THREAD & ~0x400,), (THREAD | 0x80000000,), (THREAD | 0x1000,)],
            ],
        ),
        "kill": ([(77, 9), (-77, 9), (0, 15)], [(1, 0), (-1, 9), (76, 0), (78, 0), (-1 << 31, 9), (77, 34), (77, -1)]),
        "tgkill": ([(77, 80, 6), (77, 80, 31)], [(1, 1, 0), (76, 77, 9), (77, 80, 32), (77, 80, 64)]),
        "prlimit64": (
            [(0, 7), (77, 7)],
            [(1, 7), (76, 7), (0, 7, 0x7FFF0000), (77, 7, 1 << 32), (0, 7, (1 << 32) + 1)],
        ),
        "prctl": ([(15,), (16,)], [(1,), (4,), (22,), (38,), (59,)]),
        "fcntl": (
            [(3, 1), (3, 2), (3, 4), (3, 1030)],
            [(3, command) for command in (*range(5, 17), *range(36, 39), *range(1024, 1030), *range(1031, 1045))],
        ),
        "ioctl": ([(0, 0x5401), (0, 0x541B)], [(0, 0x5412), (0, 0x8901), (0, 0x8902), (0, 0x8912)]),
        "futex": (
            [(0, 128), (0, 129), (0, 131), (0, 132), (0, 133), (0, 137), (0, 138), (0, 393)],
            # those that inherit priorities, and the shared ones that tell of another process
            [(0, operation) for operation in (2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 134, 135, 139, 140, 141)],
        ),
        "mmap": (
            [(0, 9, 3, 0x22), (0, 9, 5, 0x802), (0, 9, 1, 1), (0, 9, 3, 0x20022), (0, 9, 3, 0x4022)],
            [(0, 9, 3, 0x22 | flag) for flag in (0x2000, 0x10000, 0x40000, 0x80000, 0x54040000)],
        ),
        "madvise": (
            [(0, 9, advice) for advice in (4, 8, 14, 15, 16, 18)],
            [(0, 9, advice) for advice in (3, 9, 12, 13, 20, 21, 22, 23, 24, 25, 100, 101, -1)],
        ),
        **dict.fromkeys(
            ("clock_gettime", "clock_nanosleep", "clock_getres", "timerfd_create"),
            ([(0,), (1,), (2,), (3,), (7,), (11,)], [(-6,), (-14,), (12,), (~76 << 3 | 2,)]),
        ),
        "getsockopt": ([(3, 1, 3), (3, 1, 39)], [(3, 1, 17), (3, 1, 77), (3, 6, 3), (3, 1, 7)]),
        "close_range": ([(3, 9, 0)], [(3, 9, 2), (3, 9, 4)]),
        **dict.fromkeys(("sched_getaffinity", "getpgid", "getsid"), ([(0,), (77,)], [(1,), (76,), (-1,)])),
        "socketpair": ([(1, 1), (1, 0x80801)], [(1, 2), (1, 5), (1, 3), (2, 1), (16, 1), (1, 0x80802)]),
    }
    assert set(expected) == set(seccomp.CONDITIONAL)
    for name, (yes, no) in expected.items():
        number = seccomp.CONDITIONAL[name][column]
        for arguments in yes:
            assert _decide(program, AUDIT[architecture], number, *arguments) == ALLOW, (name, arguments)
        for arguments in no:
            assert _decide(program, AUDIT[architecture], number, *arguments) == EPERM, (name, arguments)


@pytest.mark.parametrize("architecture", COLUMN)
def test_shared_futexes(architecture: str) -> None:
    """Waiting on a futex that other processes may have asks again at once, and waking one wakes nobody."""
    program, number = seccomp.program(77, architecture), seccomp.CONDITIONAL["futex"][COLUMN[architecture]]
    for operation, answer in ((0, EAGAIN), (256, EAGAIN), (9, EAGAIN), (265, EAGAIN), (1, SUCCESS), (10, SUCCESS)):
        assert _decide(program, AUDIT[architecture], number, 0, operation) == answer


def test_filter_of_the_other_architecture() -> None:
    """The same number in another calling convention (32-bit, x32) is refused."""
    program = seccomp.program(77, "x86_64")
    assert _decide(program, 0x40000003, 4) == EPERM
    assert _decide(program, AUDIT["aarch64"], 63) == EPERM
    assert _decide(program, AUDIT["x86_64"], 0x40000000 | 1) == ENOSYS


def test_every_allowed_call_has_a_reason() -> None:
    """The page of system calls lists each call of the filter once, with a reason, and no other as allowed."""
    text = (ROOT / "docs/reference/system-calls.md").read_text(encoding="utf-8")
    listed: dict[str, list[str]] = {}
    for part in text.split("\n## ")[1:]:
        title, *lines = part.splitlines()
        rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
        assert rows
        assert all(len(row) >= 2 and all(row) for row in rows), title
        listed[title] = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed["Allowed"]) == sorted(seccomp.ALLOWED)
    assert sorted(listed["Allowed with some arguments"]) == sorted(seccomp.CONDITIONAL)
    assert sorted(listed["Answered by the filter"]) == sorted(seccomp.ANSWERED)
    refused = set(listed["Refused, among others"])
    assert refused - {"fcntl", "preadv2", "cachestat"} <= FORBIDDEN.keys()
    assert not refused & seccomp.ALLOWED.keys()


@pytest.mark.parametrize(
    ("architecture", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_the_kernels(architecture: str, header: str) -> None:
    """Each number is what the kernel's own header says, where the header is installed."""
    if not Path(header).is_file():
        return  # nothing is lost: the numbers never change, and whoever adds one has the header
    known: dict[str, int] = {}
    for line in Path(header).read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["#define"] and words[1].startswith("__NR") and words[2:] and words[2].isdigit():
            known[words[1].replace("__NR3264_", "__NR_").removeprefix("__NR_")] = int(words[2])
    known.setdefault("newfstatat", known.get("fstatat", -1))
    column = COLUMN[architecture]
    for name, row in {**seccomp.ALLOWED, **seccomp.CONDITIONAL, **seccomp.ANSWERED, **FORBIDDEN}.items():
        if row[column] is not None and name in known:
            assert known[name] == row[column], name
        elif row[column] is None:
            assert architecture == "aarch64"
            assert name not in known


# from inside, call by call

CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*map(ctypes.c_long, (number, *arguments)))
    return ctypes.get_errno() if result == -1 else 0
"""
NOT_TRIED = ("exit", "exit_group", "pause", "rt_sigsuspend", "rt_sigreturn", "umask")
"""What ends, stops or changes the process that tries it."""


def test_forbidden_calls_fail(sandbox: WarmSandbox) -> None:
    """Every forbidden system call fails with EPERM in a real child."""
    numbers = {name: row[COLUMN[ARCHITECTURE]] for name, row in FORBIDDEN.items()}
    tried = {name: number for name, number in numbers.items() if number is not None}
    source = f"{CALL}\na = torch.tensor([call(number, -1, -1, -1, -1, -1, -1) for number in {list(tried.values())}])"
    errors = dict(zip(tried, _numbers(sandbox, source), strict=True))
    assert errors == dict.fromkeys(tried, 1.0)


def test_allowed_calls_reach_the_kernel(sandbox: WarmSandbox) -> None:
    """Every allowed system call gets as far as the kernel, which finds its arguments wrong, but does not forbid it."""
    left_out = NOT_TRIED if sandbox.isolation == "full" else (*NOT_TRIED, *seccomp.CHANGES_FILES)
    numbers = {name: row[COLUMN[ARCHITECTURE]] for name, row in seccomp.ALLOWED.items() if name not in left_out}
    tried = {name: number for name, number in numbers.items() if number is not None}
    source = f"{CALL}\na = torch.tensor([call(number, -1, -1, -1, -1, -1, -1) for number in {list(tried.values())}])"
    errors = dict(zip(tried, _numbers(sandbox, source), strict=True))
    assert [name for name, error in errors.items() if error in (1, 38)] == []


REACHING = {
    "TCP": "import socket; socket.socket()",
    "UDP": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "IPv6": "import socket; socket.socket(socket.AF_INET6)",
    "unix": "import socket; socket.socket(socket.AF_UNIX)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "datagram pair": "import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "url": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "fork": "import os; os.fork()",
    "forkpty": "import os; os.forkpty()",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "spawn": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "subprocess shell": "import subprocess; subprocess.run('true', shell=True)",
    "multiprocessing": "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
    "own Python": "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])",
    "kill the parent": "import os; os.kill(os.getppid(), 9)",
    "is the parent there": "import os; os.kill(os.getppid(), 0)",
    "kill the first": "import os; os.kill(1, 9)",
    "kill all": "import os; os.kill(-1, 9)",
    "become root": "import os; os.setuid(0)",
    "passwd": "open('/etc/passwd')",
    "course": "open(DIRECTORY + '/helper.txt')",
    "course folder": "import os; os.listdir(DIRECTORY)",
    "write beside the exercise": "open(DIRECTORY + '/new.txt', 'w')",
    "own memory": "open('/proc/self/mem', 'rb')",
    "memory of the parent": "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
    "processes": "import os; os.listdir('/proc')",
    "write to torch": "open(torch.__file__, 'a')",
    "delete torch": "import os; os.unlink(torch.__file__)",
    "rename torch": "import os; os.rename(torch.__file__, torch.__file__ + 'x')",
    "mode of torch": "import os; os.chmod(torch.__file__, 0o777)",
    "times of torch": "import os; os.utime(torch.__file__, (0, 0))",
    "truncate torch": "import os; os.truncate(torch.__file__, 0)",
    "new module": "import os; open(os.path.dirname(torch.__file__) + '/new.py', 'w')",
    "link": "import os; os.link(torch.__file__, 'torch.py')",
    "home of the grader": "import os; os.listdir(GRADER_HOME)",
    "root's home": "import os; os.listdir('/root/.ssh')",
    "write to the root": "open('/new', 'w')",
    "shared memory": "open('/dev/shm/new', 'w')",
    "disks": "import os; os.listdir('/sys')",
    "raise a limit": "import resource as r; r.setrlimit(r.RLIMIT_CPU, (r.RLIM_INFINITY,) * 2)",
    "raise a limit of files": "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (99999,) * 2)",
    "signals by descriptor": "import fcntl, os; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
    "priority": "import os; os.nice(-5)",
    "lower a limit": "import resource as r; r.setrlimit(r.RLIMIT_SIGPENDING, (1, 1))",
    "limits of the parent": "import os, resource as r; r.prlimit(os.getppid(), r.RLIMIT_CPU)",
    "a lock": "import fcntl; fcntl.lockf(open(torch.__file__), fcntl.LOCK_SH)",
    "is there a lock": "import fcntl; fcntl.fcntl(open(torch.__file__), fcntl.F_GETLK, bytes(32))",
    "a lock of a description": "import fcntl; fcntl.fcntl(open(torch.__file__), 37, bytes(32))",
    "a lock of a file": "import fcntl; fcntl.flock(open(torch.__file__), fcntl.LOCK_SH)",
    "a lock of its own file": "import fcntl; fcntl.flock(open('/dev/null'), fcntl.LOCK_SH)",
    "a lease": "import fcntl; fcntl.fcntl(open(torch.__file__), 1024, fcntl.F_RDLCK)",
    "notices": "import fcntl, os; fcntl.fcntl(os.open(os.path.dirname(torch.__file__), os.O_RDONLY), 1026, 1)",
    "out of the page cache": "import os; f = open(torch.__file__); os.posix_fadvise(f.fileno(), 0, 0, 4)",
    "into the page cache": "import os; f = open(torch.__file__); os.posix_fadvise(f.fileno(), 0, 0, 3)",
    "is it in the page cache": "import os; os.preadv(open(torch.__file__).fileno(), [bytearray(9)], 0, os.RWF_NOWAIT)",
    "read a mapping ahead": "import mmap; m = mmap.mmap(open(torch.__file__).fileno(), 9, prot=1); m.madvise(3)",
    "descriptors under way": "import array, socket; socket.send_fds(socket.socketpair()[0], [b'x'], [0])",
    "the size of a pipe": "import fcntl, os; fcntl.fcntl(os.pipe()[0], 1031, 1 << 20)",
    "the disk": "import os; os.statvfs('/')",
    "times of a device": "import os; os.utime('/dev/null')",
    "the time of another process": "import os, time; time.clock_gettime(~os.getppid() << 3 | 2)",
    "the group of another process": "import os; os.getpgid(os.getppid())",
    "the processors of another process": "import os; os.sched_getaffinity(os.getppid())",
    "a queued signal": "import signal; signal.raise_signal(40)",
    "memory with a name": "import os; os.memfd_create('x')",
}


def test_reaching_out_is_an_error(sandbox: WarmSandbox) -> None:
    """Every way out is an OSError that the cell can read, and the child lives on."""
    for name, source in REACHING.items():
        with named(name):
            names = f"DIRECTORY = {str(sandbox.directory)!r}\nGRADER_HOME = {str(sandbox._process.home)!r}"
            result = _run(sandbox, names, source, "a = x", outputs=True)
            assert result.death is None
            error = result.cells[1].error
            assert error is not None
            expected = (
                "PermissionError",
                "FileNotFoundError",
                "OSError",
                "URLError",
                "NotADirectoryError",
                "ValueError",
            )
            assert error.name in expected, error
            if error.name == "ValueError":
                assert "limit" in error.message
            assert torch.equal(result.cells[2].answers["a"].value, torch.arange(4.0))  # type: ignore[arg-type]


def test_shell_magics_do_nothing(sandbox: WarmSandbox) -> None:
    """``!pip install`` and ``os.system`` start nothing, and do not end the cell's process."""
    result = _run(sandbox, "import os\na = torch.tensor(os.system('true'))", "!pip install numpy", "a = x")
    assert result.death is None
    assert torch.equal(result.cells[2].answers["a"].value, torch.arange(4.0))  # type: ignore[arg-type]


def test_nothing_is_left_open(sandbox: WarmSandbox) -> None:
    """A child holds its connection and three ends of /dev/null: not even the file that a locked cell left open."""
    source = """
    import os, stat
    def kind(number):
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            return None
        return "null" if os.fstat(number).st_rdev == os.makedev(1, 3) else "socket" if stat.S_ISSOCK(mode) else "other"
    kinds = [found for found in map(kind, range(256)) if found]
    a = torch.tensor([kinds.count("null"), kinds.count("socket"), kinds.count("other"), text == "found"])
    """
    assert _numbers(sandbox, source) == [3, 1, 0, 1]


def test_home_is_private(sandbox: WarmSandbox) -> None:
    """In full isolation a child has an empty home of bounded size that no other child sees; else none."""
    source = """
    import os, tempfile
    left = written = full = 0
    try:
        left = len(os.listdir(os.environ["HOME"]))
        with tempfile.NamedTemporaryFile("w+", delete=False) as file:
            file.write("hello")
        written = open(file.name).read() == "hello"
        for number in range(100):
            open(f"{number}.bin", "wb").write(bytes(1 << 20))
    except OSError as error:
        full = error.errno
    a = torch.tensor([left, written, full])
    """
    for _ in range(2):
        left, written, full = _numbers(sandbox, source)
        if sandbox.isolation == "full":
            assert (left, written, full) == (0, 1, 28)
        else:
            assert written == 0


def test_process_ids_do_not_count_on(sandbox: WarmSandbox) -> None:
    """In full isolation a child cannot tell by its own process id how many threads the one before it has started."""
    if sandbox.isolation != "full":
        return  # the ids are those of the machine
    start = """
    import os, threading
    for _ in range({number}):
        thread = threading.Thread(target=int)
        thread.start(); thread.join()
    a = torch.tensor([os.getpid()])
    """
    ids = {*(tuple(_numbers(sandbox, start.format(number=number))) for number in (0, 7, 100, 0))}
    assert len(ids) == 1


def test_bombs(sandbox: WarmSandbox) -> None:
    """Threads without end, descriptors without end and files without end are errors, and end with the child."""
    source = """
    import os, threading
    a = []
    wait = threading.Event()
    for bomb in (lambda: threading.Thread(target=wait.wait, daemon=True).start(), os.pipe, lambda: bytearray(1 << 28)):
        kept = []
        try:
            for _ in range(100_000):
                kept.append(bomb())
            a.append(0)
        except (OSError, RuntimeError, MemoryError):
            a.append(1)
    a = torch.tensor(a)
    """
    assert _numbers(sandbox, source) == [1, 1, 1]


# honest work

HONEST = {
    "numpy": "import numpy as np\na = torch.from_numpy(np.linalg.solve(np.eye(3), np.ones(3)))",
    "time": "%%time\na = x * 2",
    "limits": "import resource as r\nr.getrlimit(r.RLIMIT_NOFILE); r.getrusage(r.RUSAGE_SELF).ru_utime\na = x",
    "mapped": "import numpy as np\na = torch.from_numpy(np.asarray(np.memmap(np.__file__, mode='r'))[:9].copy())",
    "timeit": "%timeit -n 2 -r 1 x * 2\na = x",
    "asyncio": "import asyncio\nawait asyncio.sleep(0.001)\na = x",
    "asyncio in a thread": "import asyncio\na = await asyncio.to_thread(lambda: x * 2)",
    "thread": "from threading import Thread\nt = Thread(target=lambda: globals().update(a=x + 1))\nt.start(); t.join()",
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: a = sum(pool.map(lambda n: x * n, [1, 2]))"
    ),
    "multiplication": "a = torch.randn(200, 300) @ torch.randn(300, 100)",
    "convolution": "a = torch.nn.functional.conv1d(torch.ones(1, 1, 9), torch.ones(1, 1, 3))",
    "linear algebra": "a = torch.linalg.svd(torch.randn(20, 20))[1]",
    "double": "a = x.double().exp()",
    "half": "a = (x.bfloat16() @ x.bfloat16()).float()",
    "einsum": "a = torch.einsum('i,j->ij', x, x)",
    "late imports": "import sqlite3, decimal, csv, difflib, xml.dom.minidom, unittest.mock\na = x",
    "torch's late parts": "import torch.nn.utils.parametrize, torch.distributions\na = x",
    "random": "import random, secrets, uuid\nuuid.uuid4(); secrets.token_hex()\na = x + random.random()",
    "dates": "import datetime, time\ntime.sleep(0.001); datetime.datetime.now().astimezone()\na = x",
    "alarm": "import signal\nsignal.alarm(5); signal.alarm(0)\na = x",
    "user": "import getpass, pathlib\ngetpass.getuser(); pathlib.Path.home()\na = x",
    "terminal": "import sys, shutil\nsys.stdin.isatty(); shutil.get_terminal_size()\na = x",
    "warnings": "import warnings\nwarnings.warn('careful')\na = x",
    "sizes": "import os\nos.cpu_count(); torch.get_num_threads()\na = x",
    "set threads": "torch.set_num_threads(2)\na = torch.randn(500, 500) @ torch.randn(500, 500)",
    "save to memory": "import io\nb = io.BytesIO(); torch.save(x, b); b.seek(0); a = torch.load(b)",
}


def test_honest_work(sandbox: WarmSandbox) -> None:
    """What an honest notebook does works inside every layer."""
    for name, source in HONEST.items():
        with named(name):
            result = _run(sandbox, source)
            assert result.death is None
            assert result.cells[0].error is None
            assert result.cells[0].answers["a"].kind == "tensor"


def test_plot(sandbox: WarmSandbox) -> None:
    """A plot with text and formulas is shown inline."""
    source = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.title('$x^2$ héllo');"
    cell = _run(sandbox, source, "a = x", outputs=True).cells[0]
    assert cell.error is None
    assert any("image/png" in output.get("data", {}) for output in cell.outputs)


def test_files_in_the_home(sandbox: WarmSandbox) -> None:
    """In full isolation a notebook may save and read files of its own, also by way of /tmp where it is free."""
    if sandbox.isolation != "full":
        return  # there is nowhere to write: see test_home_is_private
    source = """
    import numpy as np, os, shutil, tempfile
    np.save("a.npy", x.numpy()); torch.save(x, "a.pt"); os.makedirs("d/e"); shutil.copy("a.pt", "d/e/b.pt")
    with tempfile.TemporaryDirectory() as folder:
        open(os.path.join(folder, "f"), "w").write("hello")
    shutil.copytree(os.path.dirname(os.__file__) + "/json", "d/json")
    shutil.rmtree("d")
    with open("f", "w") as file:
        file.write("hello"); file.flush(); os.fsync(file.fileno())
    a = torch.load("a.pt") + torch.from_numpy(np.load("a.npy"))
    """
    assert _numbers(sandbox, source) == [0, 2, 4, 6]


# from outside


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _descendants(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
        return [*found, *(descendant for child in found for descendant in _descendants(child))]
    return []


def _all_gone(pids: Sequence[int]) -> bool:
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() and _status(pid)["State"][0] not in "ZX" for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_what_the_kernel_says(sandbox: WarmSandbox) -> None:
    """Seen from outside, a child has a filter, no privileges, no root, one thread, and a world that is not ours."""
    with sandbox.child(["a = x"]) as child:
        assert child.run(Run("one", (0,), {0: ("a",)})).death is None
        status = _status(child.pid)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
        readable = all(map(namespaces._others_may_read, (Path(os.__file__), *namespaces.library_folders())))
        if os.geteuid() or sandbox.isolation == "full" or readable:
            assert "0" not in status["Uid"].split()
        ours = {name: Path(f"/proc/self/ns/{name}").readlink() for name in ("user", "mnt", "net", "ipc", "uts", "pid")}
        if sandbox.isolation == "full" and not os.geteuid():
            theirs = {name: Path(f"/proc/{child.pid}/ns/{name}").readlink() for name in ours}
            assert all(ours[name] != theirs[name] for name in ours)
        if sandbox.isolation == "full":
            assert len(status["NSpid"].split()) == len(_status(os.getpid())["NSpid"].split()) + 1


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """When a sandbox is closed none of its processes is left, and nothing was written."""
    before = sorted(tmp_path.rglob("*"))
    with _sandbox(tmp_path) as sandbox:
        children = [sandbox.child(["a = x"]) for _ in range(3)]
        for child in children:
            assert child.run(Run("one", (0,), {0: ("a",)})).death is None
        pids = [sandbox._process.process.pid, *_descendants(sandbox._process.process.pid)]
        assert {child.pid for child in children} < set(pids)
        home = sandbox._process.home
    assert _all_gone(pids)
    assert not home.exists()
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "helper.txt"]


@pytest.mark.filterwarnings("ignore:unclosed .*socket:ResourceWarning")  # nobody is left to close it for
def test_children_end_with_the_warm_process(tmp_path: Path) -> None:
    """Where the warm process is killed, its children are killed with it by the kernel."""
    with _sandbox(tmp_path) as sandbox:
        child = sandbox.child(["import time\nwhile True: time.sleep(1)"])
        pids = _descendants(sandbox._process.process.pid)
        assert child.pid in pids
        sandbox._process.process.kill()
        sandbox._process.process.wait()
        assert _all_gone(pids)
        with suppress(SandboxError):
            child.close()


def test_the_handle_ends_a_child(sandbox: WarmSandbox) -> None:
    """A child that is stopped and deaf to signals is ended all the same, and its exit code told."""
    deaf = "import signal\nfor one in {*range(1, 32)} - {9, 19}: signal.signal(one, signal.SIG_IGN)\n"
    child = sandbox.child([f"{deaf}a = x"])
    pid = child.pid
    assert child.run(Run("one", (0,), {0: ("a",)})).death is None
    os.kill(pid, signal.SIGSTOP)
    assert child.close() == -signal.SIGKILL
    assert _all_gone([pid])


# what is told


@pytest.mark.parametrize("name", first_is_fast(LACKING))
def test_isolation_is_told_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a layer is missing the others stay, and the sandbox says which; without any it gives no child."""
    if name == "partial: no landlock" and _offered(tmp_path) != "full":
        return  # two layers would be missing
    _lack(name, tmp_path, monkeypatch)
    with _sandbox(tmp_path) as sandbox:
        if name == "none":
            with pytest.raises(IsolationError, match=r"this machine cannot isolate .* --trust-submissions"):
                sandbox.wait_until_ready()
        else:
            sandbox.wait_until_ready()
            assert _numbers(sandbox, "a = x") == [0, 1, 2, 3]
        assert sandbox.isolation == name


def _offered(folder: Path) -> str:
    with _sandbox(folder) as sandbox:
        sandbox.wait_until_ready()
        return sandbox.isolation


LEAKS = {
    "no filter": ("seccomp.apply = lambda program: None", r"could still reach: .*new processes.*system call flock"),
    "locks": ("seccomp.ALLOWED['flock'] = (73, 32)", r"could still reach: the system call flock\."),
    "any arguments": (
        "seccomp.ALLOWED['fcntl'] = seccomp.CONDITIONAL['fcntl']\n"
        "old = seccomp._conditions\n"
        "seccomp._conditions = lambda pid: {k: v for k, v in old(pid).items() if k != 'fcntl'}",
        r"could still reach: the system call fcntl\.",
    ),
}


@pytest.mark.parametrize("leak", first_is_fast(LEAKS))
def test_a_leak_is_noticed(leak: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that was put on and does not hold counts for nothing: the child that tries it tells."""
    source, said = LEAKS[leak]
    monkeypatch.setitem(LACKING, "leak", f"from handgrad.sandbox.isolation import seccomp\n{source}")
    _lack("leak", tmp_path, monkeypatch)
    with _sandbox(tmp_path) as sandbox, pytest.raises(IsolationError, match=said):
        sandbox.wait_until_ready()


DOORS = {
    "kernels": ("derivative_kernels.refuse_derivatives = lambda: None", "could still use .*backward operators"),
    "graphs": ("derivative_kernels.empty_autograd = lambda: None", "could still use .*a graph of mm"),
    "TorchScript": ("torchscript_off.take_away = lambda replacements: None", "could still use .*TorchScript"),
}


@pytest.mark.parametrize("door", first_is_fast(DOORS))
def test_an_open_door_is_noticed(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one way to a gradient stays open, nothing of a student's is run, trusted or not."""
    source, said = DOORS[door]
    leak = f"from handgrad.sandbox import derivative_kernels, torchscript_off\n{source}"
    monkeypatch.setitem(LACKING, "door", leak)
    _lack("door", tmp_path, monkeypatch)
    with _sandbox(tmp_path) as sandbox:
        with pytest.raises(SandboxError, match=said) as caught:
            sandbox.wait_until_ready()
        assert not isinstance(caught.value, IsolationError)


@pytest.mark.parametrize("required", ["none", "partial", "full"])
def test_required_isolation(required: Required) -> None:
    """What is required is there, or an error says what was found."""
    levels = ["none", PARTIAL, "full"]
    enough_from = {"none": 0, "partial": 1, "full": 2}[required]
    for index, found in enumerate(levels):
        if index >= enough_from:
            enough(required, found)
        else:
            with pytest.raises(IsolationError, match=f"requires isolation '{required}', and this machine offers"):
                enough(required, found)


def test_a_child_that_is_not_closed_in_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a layer fails for one child that is an error of the grader's own, and no cell was sent."""
    fail = """
from handgrad.sandbox.isolation.layers import Isolation
real = Isolation.close
def close(self, limits):
    real(self, limits)
    self._rules = 999
Isolation.close = close
"""
    monkeypatch.setitem(LACKING, "fail", fail)
    _lack("fail", tmp_path, monkeypatch)
    with _sandbox(tmp_path) as sandbox:
        sandbox.wait_until_ready()
        with sandbox.child(["a = x"]) as child, pytest.raises(SandboxError, match="could not be isolated"):
            child.run(Run("one", (0,), {0: ("a",)}))


def test_threads_are_noticed(tmp_path: Path) -> None:
    """A locked cell that leaves a thread running would make every child hang: it is an error that says so."""
    locked = "import threading\nx = 1\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    with _sandbox(tmp_path, locked=locked) as sandbox, pytest.raises(SandboxError, match="threads"):
        sandbox.wait_until_ready()


# as somebody else


@pytest.mark.slow
def test_as_an_unprivileged_user(test_as_nobody: Callable[..., None]) -> None:
    """All of this file, and of the scan of memory, holds for a user without privileges too."""
    test_as_nobody(Path(__file__))
    test_as_nobody(TESTS / "unit/sandbox/test_child_memory.py")
