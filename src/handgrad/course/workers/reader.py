"""A process of its own in which a command reads what students handed in.

A text that was made for it can end a parser, or keep it busy for hours. There it costs its own student only: each call
is under limits of processor time and memory, and a call that ends the process gets a new one for the next.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

import handgrad.notebook.slow_imports  # noqa: F401 - the process imports nbformat
from handgrad.course.workers.pool import READERS, JobFailed, Pool
from handgrad.errors import HandgradError, TextLimitError
from handgrad.notebook.text_limits import TEXT_SECONDS, limited

__all__ = ["Reader", "call"]

P = ParamSpec("P")
T = TypeVar("T")


class Reader:
    """The process, which is started by the first call; a context manager.

    Parameters
    ----------
    seconds
        Processor time for each call.
    workers
        Processes for :meth:`each`; None for one on each processor.
    common
        The first arguments of every call; a process gets them once, when it starts.
    """

    def __init__(self, seconds: float = TEXT_SECONDS, workers: int | None = 1, common: tuple[Any, ...] = ()) -> None:
        self._seconds, self._workers, self._common = seconds, workers, common
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.__exit__(None)
            self._pool = None

    def __call__(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Call ``function``, which is at the top of a module, in the process.

        Raises
        ------
        HandgradError
            What it raised, if it is for the user; else a :class:`.TextLimitError`: the call took too much time or
            memory, failed, or ended the process.
        """
        try:
            result: T = self._started().call("call", *self._job(function, arguments, named))
        except HandgradError:
            raise
        except Exception as error:
            raise _for_user(error) from error
        return result

    def each(
        self, function: Callable[P, T], jobs: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[Any, T | HandgradError]]:
        """Call ``function`` with the arguments of each job, and yield the results, or their errors, as they finish.

        The first argument of a job is its name, which is yielded and not passed on.
        """
        named = ((name, *self._job(function, tuple(arguments), {})) for name, *arguments in jobs)
        for name, result in self._started().each("call", named):
            yield name, _for_user(result.error or result) if isinstance(result, JobFailed) else result

    def _started(self) -> Pool:
        if self._pool is None:
            # one process needs no second one from which it is forked
            preload = None if self._workers == 1 else READERS
            self._pool = Pool(__name__, self._workers, preload=preload, common=(self._common,))
        return self._pool

    def _job(self, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        return self._seconds, (function.__module__, function.__qualname__), arguments, named


def _for_user(error: Exception) -> HandgradError:
    """The error of a call as one for the user, which it may be already."""
    if isinstance(error, HandgradError):
        return error
    why = error if isinstance(error, JobFailed) else f"a parser fails at it ({type(error).__name__})"
    return TextLimitError(f"what was handed in cannot be read: {why}.")


def call(
    common: tuple[Any, ...],
    seconds: float,
    function: tuple[str, str],
    arguments: tuple[Any, ...],
    named: dict[str, Any],
) -> Any:
    """Call a function, given by its module and its name, under limits: what the process does."""
    module, name = function
    called = partial(getattr(importlib.import_module(module), name), *common, *arguments, **named)
    with limited(seconds, may_kill=True):
        return called()
