"""The sandbox's side: runs a notebook under the tape in a child process, and sends back what was found.

Messages from the grader: one with the notebook, then one for each file beside it. To the grader: ``cell`` before each
cell, ``judging`` after the last one, then ``findings``.
"""

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

# all of handgrad that a notebook imports: the sandbox shows no folder of a development version
from handgrad import counterexample, data, hint, nudge, progress  # noqa: F401
from handgrad.own_forward_pass.findings import Findings, find
from handgrad.own_forward_pass.known_exercise import ExerciseLines
from handgrad.own_forward_pass.notebook_run import Cell, NotebookRun, Stop, TimeLimits
from handgrad.own_forward_pass.surroundings import Surroundings
from handgrad.sandbox import frames
from handgrad.student.check import silence

__all__ = ["review", "serve"]


def serve(connection: frames.Connection) -> None:
    """Serve one notebook; handgrad's own ``cmp`` says nothing in it."""
    silence()
    (_, payload), files = frames.FrameReader().request(connection)
    request, names = json.loads(payload), files[""]

    def say(message: Mapping[str, Any]) -> None:
        connection.sendall(frames.pack(dict(message)))

    try:
        findings = review(request, names, say)
    except Exception as error:  # of the check itself: it must end with a sentence
        where = traceback.extract_tb(error.__traceback__)[-1]
        findings = Findings(
            why_not=f"The check itself failed ({type(error).__name__} in {Path(where.filename).name}, line "
            f"{where.lineno}); please report it with the notebook."
        )
    connection.sendall(frames.pack({"findings": True}, json.dumps(findings.to_dict()).encode()))


def review(
    request: Mapping[str, Any], names: bytes, say: Callable[[Mapping[str, Any]], None] = lambda _: None
) -> Findings:
    """Run a notebook in this process, and say what was found; ``say`` is told how far it is.

    Parameters
    ----------
    request
        ``cells``, each with ``number`` and ``source``; ``limits``; ``exercises``; ``renames``; and ``died``: cells that
        ended an earlier process, with the reason.
    names
        The lecture's list of names, for a notebook that downloads it.
    """
    torch.set_num_threads(1)
    cells = [Cell(**cell) for cell in request["cells"]]
    died = {int(number): reason for number, reason in request["died"].items()}
    run = NotebookRun(Surroundings(names), TimeLimits(**request["limits"]), lambda number: say({"cell": number}))
    run.stops += [Stop(number, 1, reason, "", frozenset()) for number, reason in died.items()]
    run.run([cell for cell in cells if cell.number not in died])
    say({"judging": True})
    return find(run, cells, [ExerciseLines(**exercise) for exercise in request["exercises"]], request["renames"])
