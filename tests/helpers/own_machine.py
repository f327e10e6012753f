"""Run a command as root on what looks like a machine of its own: other accounts, other homes, another network.

``python own_machine.py FOLDER COMMAND ARGUMENT...``: ``/etc`` is a copy in FOLDER, and what is done to it, to
``/home``, ``/opt`` and ``/var/lib`` is gone afterwards, with all processes. This environment is ``/opt/handgrad``, and
open to every account.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COVERED = ("/home", "/opt", "/var/lib")


def mounts(folder: Path) -> list[str]:
    """The commands that make the machine."""
    needed = {Path(sys.prefix), Path(sys.base_prefix), ROOT}
    closed = {above for path in needed for above in path.resolve().parents if not above.stat().st_mode & 0o001}
    covered = {path for path in {*map(Path, COVERED), *closed} if not closed & set(path.parents)}
    lines = ["mount --make-rprivate /", f"cp -a /etc {folder}/etc", f"mount --bind {folder}/etc /etc"]
    kept = [path.resolve() for path in needed if covered & set(path.resolve().parents)]
    for number, path in enumerate(kept):
        lines += [f"mkdir -p {folder}/kept-{number}", f"mount --rbind {shlex.quote(str(path))} {folder}/kept-{number}"]
    lines.append(f"mkdir -p {folder}/venv && mount --rbind {shlex.quote(sys.prefix)} {folder}/venv")
    lines += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(path))}" for path in sorted(covered)]
    for number, path in enumerate(kept):
        lines += [
            f"mkdir -p {shlex.quote(str(path))}",
            f"mount --rbind {folder}/kept-{number} {shlex.quote(str(path))}",
        ]
    lines.append(f"mkdir /opt/handgrad && mount --rbind {folder}/venv /opt/handgrad")
    # a clone of which `handgrad release` would build a wheel, which needs a network
    lines.append(f"mount --bind /dev/null {shlex.quote(str(ROOT / 'pyproject.toml'))}")
    return [*lines, "ip link set lo up"]


if __name__ == "__main__":
    _, folder, *command = sys.argv
    text = "\n".join(["set -euo pipefail", *mounts(Path(folder).resolve()), f"exec {shlex.join(command)}"])
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL") if name in os.environ}
    environment["PATH"] += ":/usr/sbin:/sbin"
    sys.exit(subprocess.run([*unshare, "bash", "-c", text], env=environment, check=False).returncode)
