"""What a student's notebook imports: ``hint``, ``nudge`` and ``counterexample``.

In the grader and in the sandbox they do nothing, and what they need is not even imported.
"""
# ruff: noqa: PLC0415 - a notebook that is graded does not wait for what it does not use

import ast
import linecache
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import torch

from handgrad.notebook.syntax_trees import tree_of
from handgrad.student import check, progress_file
from handgrad.student.session import compared_in, session_of

if TYPE_CHECKING:
    from handgrad.student.helps.forward_code import ForwardCode
    from handgrad.student.helps.output import Output

__all__ = ["counterexample", "hint", "nudge"]

_asked: dict[str, tuple[int, str]] = {}
"""For each tensor the last step of the hints, and the answer that it was for."""


def hint(name: "str | torch.Tensor") -> None:
    """Show the next of three hints for a gradient. None of them gives the formula.

    The first shows where the tensor goes, the second writes one entry out with the numbers of your notebook, the third
    solves a neighbour: an operation of the same kind on a few whole numbers. A new answer begins again.

    Parameters
    ----------
    name
        The gradient (``'dprobs'``), the tensor (``'probs'``), or the tensor itself.
    """
    if check.is_recorded():
        return
    from handgrad.student.helps import hint as hints
    from handgrad.student.helps.forward_code import NoHelp

    def made(code: "ForwardCode", tensor: str) -> "Output":
        step, before = _asked.get(tensor, (0, ""))
        if code.is_done(tensor):
            raise NoHelp(f"d{tensor} is right")
        answer = _fingerprint(code.namespace.get(f"d{tensor}"))
        step = step % hints.STEPS + 1 if answer == before else 1
        output = hints.hint(code, tensor, step)
        _asked[tensor] = (step, answer)
        return output

    _show("hint", sys._getframe(1), name, made)


def nudge(tensor: "torch.Tensor | str", index: Sequence[int] | int) -> None:
    """Add a little to one entry of a tensor, run the forward pass again, and show what changes.

    Parameters
    ----------
    tensor
        The tensor (``counts``), its name, or the name of its gradient.
    index
        The entry: ``[3, 5]``.
    """
    if check.is_recorded():
        return
    from handgrad.student.helps.nudge import Nudge

    _show("nudge", sys._getframe(1), tensor, lambda code, name: Nudge.of(code, name, index).output())


def counterexample(name: "str | torch.Tensor") -> None:
    """Show the smallest case in which your formula for a gradient fails: a few small numbers.

    Parameters
    ----------
    name
        The gradient (``'dlogits'``), the tensor (``'logits'``), or the tensor itself.
    """
    if check.is_recorded():
        return
    from handgrad.student.helps.counterexample import Counterexample

    _show("counterexample", sys._getframe(1), name, lambda code, tensor: Counterexample.of(code, tensor).output())


def _show(what: str, frame: FrameType, asked: object, make: Callable[["ForwardCode", str], "Output"]) -> None:
    """Show what ``make`` makes of the tensor that is ``asked`` for, in the notebook of ``frame``, or why it cannot."""
    from handgrad.student.helps.forward_code import ForwardCode, NoHelp

    namespace = frame.f_globals
    try:
        # a notebook may have switched autograd off
        with torch.enable_grad():
            code = ForwardCode.of([*map(_with_calls, _cells(frame))], session_of(namespace).variables())
            name = code.name_of(asked)
            output = make(code, name)
    except NoHelp as reason:
        print(f"{what}: {reason}.")
        return
    except Exception as error:
        # whatever stands in the cells: a help must not stop the notebook
        print(f"{what}: the cells could not be run again. {type(error).__name__}: {error}")
        return
    progress_file.asked(namespace, what, name, code.tensors)
    if check.in_notebook():
        check.show(output.html(), output.text())
    else:
        print(output.text())


def _cells(frame: FrameType) -> list[str]:
    """The cells that were run: IPython's history, or the statements of a script above the call."""
    history = frame.f_globals.get("In")
    if isinstance(history, list):
        return [cell for cell in history if isinstance(cell, str)]
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    source = "".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    tree = tree_of(source)
    above = [statement for statement in tree.body if statement.lineno < frame.f_lineno] if tree else []
    return [ast.get_source_segment(source, statement) or "" for statement in above]


def _with_calls(cell: str) -> str:
    """A cell that also gives names to the answers that it passes to ``cmp`` without one."""
    calls = [f"{name} = {ast.unparse(call)}" for name, call in compared_in(cell) if not isinstance(call, ast.Name)]
    return "\n".join([cell, *calls])


def _fingerprint(answer: object) -> str:
    """A text that changes if an answer does."""
    if not isinstance(answer, torch.Tensor):
        return type(answer).__name__
    return f"{tuple(answer.shape)} {answer.dtype} {float(answer.detach().abs().double().sum())}"
