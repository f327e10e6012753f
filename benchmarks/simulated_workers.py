"""Dask workers that do not grade: each sleeps as long as a submission takes, and returns a result that was graded once.

All of them are in one process, each with one thread, so that a small computer carries as many as a large one has. The
command that sends the work sees no difference: jobs and results travel as with workers that grade.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from distributed import Worker

from benchmarks.graded_once import GradedOnce
from handgrad.course.workers import pool
from handgrad.course.workers.task import WorkerResult


def beside(graded: GradedOnce, seconds: float) -> Callable[..., Any]:
    """A function in place of that by which a Dask worker has a job done in the process beside it."""

    def call(_: Callable[..., Any], module: str, function: str, *arguments: Any) -> WorkerResult | None:
        if function == "grade":
            time.sleep(seconds)
        return graded.call(function, *arguments)

    return call


async def work(scheduler: str, workers: int) -> None:
    """Work until this process is ended."""
    async with AsyncExitStack() as stack:
        for number in range(workers):
            worker = Worker(scheduler, nthreads=1, name=number, host="127.0.0.1", dashboard=False, memory_limit="0")
            await stack.enter_async_context(worker)
        await asyncio.Event().wait()


if __name__ == "__main__":
    address, number, seconds_each, path = sys.argv[1:]
    pool._call_beside = beside(GradedOnce.read(Path(path)), float(seconds_each))
    asyncio.run(work(address, int(number)))
