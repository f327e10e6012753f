"""Put the warm process into its own namespaces (user, PID, mount, network), with a read-only root of libraries only.

It enters them before anything is run. Its root is closed once the locked cells have read their files. This works for
root and, if the machine allows user namespaces, for anyone else. What the kernel refuses is an OSError.
"""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from handgrad.sandbox.isolation.linux import ARCHITECTURE, PR, drop_capabilities, mount, prctl, syscall, umount

__all__ = ["CAP_SYS_ADMIN", "DEVICES", "HOME", "close_root", "drop_root", "enter", "library_folders", "private_home"]

HOME = "/handgrad/home"
"""The only writable folder of a child; ``/tmp`` is a link to it, unless packages are in ``/tmp``."""
NOBODY = 65534
"""The user id of a process that was root."""

CAP_SYS_ADMIN = 21
"""The capability to mount."""
_CLONE_NEWNS = 0x00020000
_CLONE_ALL = _CLONE_NEWNS | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""Mounts, cgroup, uts, ipc, user, pid, net."""
_UNSHARE = {"x86_64": 272, "aarch64": 97}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store"),
    *("/usr/share/fonts", "/usr/share/zoneinfo", "/etc/fonts", "/etc/localtime", "/etc/ld.so.cache"),
)
"""What libraries read besides their own files."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def library_folders() -> list[Path]:
    """The folders and files that Python and its packages are loaded from; none is inside another."""
    prefixes = dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix))
    wanted = [Path(prefix) / name for prefix in prefixes for name in ("lib", "lib64")]
    wanted += map(Path, SYSTEM)
    found: list[Path] = []
    for path in sorted(wanted, key=lambda path: len(path.parts)):
        held = any(other == path or (other in path.parents and not other.is_symlink()) for other in found)
        if path.exists() and not held:
            found.append(path)
    return found


def enter() -> bool:
    """Enter new user, mount, net, ipc, uts, cgroup and pid namespaces; False if the machine does not allow it.

    The process forks. The caller continues as the first process of the new namespaces, where every id is as before; the
    original process only waits for it, and ends with its exit status.
    """
    attempt = os.fork()
    if not attempt:
        try:
            # some machines allow the namespaces and forbid what is done in them
            _unshare()
            close_root(())
            os.pidfd_open(os.getpid())
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(attempt, 0)[1]:
        return False
    _unshare()
    first = os.fork()
    if first:
        code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    end_with_parent()
    return True


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends; a change of the user id resets this."""
    prctl(PR.SET_PDEATHSIG, signal.SIGKILL)


def _unshare() -> None:
    """Move this process into new namespaces; the processes that it forks are in the new PID namespace."""
    ids = {name: _identity(name, own) for name, own in (("gid", os.getegid()), ("uid", os.geteuid()))}
    reading, writing = os.pipe()
    helper = os.fork()
    if not helper:
        # only a process outside may set the ids
        try:
            os.close(writing)
            process = Path(f"/proc/{os.getppid()}")
            if os.read(reading, 1):
                if os.geteuid():
                    (process / "setgroups").write_text("deny", encoding="ascii")
                for name, lines in ids.items():
                    (process / f"{name}_map").write_text(lines, encoding="ascii")
                os._exit(0)
        finally:
            os._exit(1)
    os.close(reading)
    try:
        syscall(_UNSHARE[ARCHITECTURE], _CLONE_ALL)
        os.write(writing, b"1")
    finally:
        os.close(writing)
        status = os.waitpid(helper, 0)[1]
    if status:
        raise PermissionError("the ids of a new user namespace cannot be set")


def _identity(name: str, own: int) -> str:
    """The identity map of ids; for anyone but root, of their own id only."""
    if os.geteuid():
        return f"{own} {own} 1\n"
    extents = Path(f"/proc/self/{name}_map").read_text(encoding="ascii").splitlines()
    return "".join(f"{first} {first} {count}\n" for first, _, count in map(str.split, extents))


def close_root(folders: Iterable[Path]) -> None:
    """Change the root to one that holds ``folders``, read-only, and nothing else: no /proc, no home."""
    new = Path(tempfile.mkdtemp(dir=Path.cwd()))
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", str(new), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=1m")
    os.umask(0o022)
    for path in folders:
        _show(path, new, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)
    for device in DEVICES:
        with suppress(FileNotFoundError):
            # read-only is the device's file, whose times anyone may set who may write to the device
            _show(Path(device), new, _ATTR_RDONLY | _ATTR_NOSUID)
    _inside(new, Path(HOME)).mkdir(parents=True)
    with suppress(FileExistsError):
        (new / "tmp").symlink_to(HOME)
    os.chdir(new)
    syscall(_PIVOT_ROOT[ARCHITECTURE], b".", b".")
    umount(".", _MNT_DETACH)
    os.chdir("/")
    _set_attributes("/", _ATTR_RDONLY, 0)
    socket.sethostname("handgrad")


def _inside(root: Path, path: Path) -> Path:
    return root.joinpath(*path.parts[1:])


def _show(path: Path, new: Path, attributes: int) -> None:
    """Mount ``path`` at the same place inside the root ``new``."""
    target = _inside(new, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and path.resolve().is_dir():
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    mount(str(path), str(target), None, _MS_BIND | _MS_REC)
    _set_attributes(str(target), attributes, _AT_RECURSIVE)


def _set_attributes(target: str, attributes: int, flags: int) -> None:
    # not a remount, which would have to repeat the flags that the outer namespace has locked
    words = b"".join(word.to_bytes(8, sys.byteorder) for word in (attributes, 0, 0, 0))
    syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, words, len(words))


def drop_root(folders: Iterable[Path], *capabilities: int) -> None:
    """Become nobody if this process is root, and give up every capability but ``capabilities``.

    If only root can read the packages, the id stays, without its privileges: late imports have to work.
    """
    if not os.geteuid() and all(map(_others_may_read, (*folders, Path(os.__file__)))):
        prctl(PR.SET_KEEPCAPS, 1)
        with suppress(PermissionError):  # of a root that may not change its id
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    drop_capabilities(*capabilities)


def _others_may_read(path: Path) -> bool:
    ways = path.stat().st_mode & 0o004, *(parent.stat().st_mode & 0o001 for parent in path.parents)
    return all(ways)


def private_home(megabytes: int) -> None:
    """Give this process an empty home of its own, in memory, which disappears when the process ends."""
    syscall(_UNSHARE[ARCHITECTURE], _CLONE_NEWNS)
    options = f"mode=700,size={megabytes}m,nr_inodes=4096,uid={os.geteuid()},gid={os.getegid()}"
    mount("tmpfs", HOME, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    os.chdir(HOME)
