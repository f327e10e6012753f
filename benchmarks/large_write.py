"""One term of a very large course: 100,000 submissions, graded once, are written by the real writer on PostgreSQL.

Every submission gets the same result, with its student's name in the report and the notebook, and no page. Making the
students and their folders is not part of it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.courses import Courses
from benchmarks.postgresql import server
from benchmarks.running import BenchmarkFailed
from benchmarks.writer import Moment
from benchmarks.written import Written, disk_usage, graded_once
from handgrad.course.course import PRIVATE
from handgrad.course.report_store import STORE
from handgrad.errors import HandgradError

SUBMISSIONS = 100_000
WORKERS = 64
"""Workers for which jobs are prepared ahead."""
SHARES = 20
"""The first and the last of so many equal parts are compared."""
GB = 1e9


def facts(moments: Sequence[Moment]) -> dict[str, str]:
    """What the moments say of the time and the memory, as text."""
    start, *written, end = moments
    speeds = [
        1 / last.each_since(first).wall
        for first, last in (
            (written[0], written[len(written) // SHARES]), (written[-1 - len(written) // SHARES], written[-1]),
        )
    ]  # fmt: skip
    each = written[-1].each_since(written[0])
    parts = ", ".join(
        f"{part} {each.parts[part] * 1e3:.2f} ({each.waited[part] * 1e3:.2f})" for part in sorted(each.parts)
    )
    return {
        "in all": f"{end.wall - start.wall:.0f} s of wall time, {end.process - start.process:.0f} s of processor time",
        f"until the first {written[0].written} are written": f"{written[0].wall - start.wall:.1f} s",
        "from the last one to the end": f"{end.wall - written[-1].wall:.1f} s",
        "speed": f"{speeds[0]:.0f} a second in the first of {SHARES} parts, {speeds[1]:.0f} in the last",
        "a submission": f"{each.wall * 1e3:.2f} ms of wall time, {each.process * 1e3:.2f} ms of processor time",
        "its parts, processor time (wall time) in ms": parts,
        "memory of the writer, at most": f"{written[-1].memory / GB:.2f} GB while it writes, {end.memory / GB:.2f} GB "
        "when all reports are read back",
    }


def main() -> int:
    """Write them and print the figures; 1 if that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--submissions", type=int, default=SUBMISSIONS, help="default: %(default)s")
    count = parser.parse_args().submissions
    console = Console(stderr=True, highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="handgrad-benchmark-") as name, server(durable=True) as postgres:
            folder = Path(name).resolve()
            courses = Courses(folder)
            graded = folder / "result.pickle"
            graded_once(courses, graded)
            course = Written(folder / "large", postgres.address(), count)
            begin = time.perf_counter()
            course.make(courses)
            console.print(f"{count} students and their folders were made in {time.perf_counter() - begin:.0f} s")
            options = ("--graded", str(graded), "--workers", str(WORKERS), "--every", str(max(count // 1000, 1)))
            found = facts(course.write(courses, *options))
            found["database"] = f"{postgres.size() / GB:.2f} GB"
            found["report store"] = f"{(course.root / PRIVATE / STORE).stat().st_size / GB:.2f} GB"
            found["autograded/"] = f"{disk_usage(course.root / 'autograded') / GB:.2f} GB"
    except (BenchmarkFailed, HandgradError) as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 1
    for title, text in found.items():
        print(f"{title}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
