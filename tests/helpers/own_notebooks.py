"""The notebooks of ``tests/notebooks/own``: people's own networks, with gradients by hand and mistakes to plant."""

import io
import re
import tomllib
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Self

from nbformat import NotebookNode

from handgrad.notebook.reading import parse_script
from helpers.paths import NOTEBOOKS

OWN = NOTEBOOKS / "own"
_MAGIC = re.compile(r"^(?=[%!])", re.MULTILINE)


@dataclass(frozen=True)
class Pair:
    """A tensor of the forward pass and the variable with its hand-written gradient, both as the notebook gets them.

    Either is a name (``W1``) or the text that leads to it (``fc1.W``, ``hs[0]``, ``grads["W1"]``).
    """

    tensor: str
    variable: str

    @property
    def has_names(self) -> bool:
        """Whether both are names, neither an attribute nor an item."""
        return self.tensor.isidentifier() and self.variable.isidentifier()


@dataclass(frozen=True)
class PlantedMistake:
    """A replacement in the script after which exactly the steps of some tensors are wrong.

    Attributes
    ----------
    find, replace
        Text that occurs once in the script, and what stands there instead.
    fails
        The tensors whose own step is wrong; gradients that are only made from theirs are right, carried on.
    kind
        What is wrong, in a word or two.
    """

    find: str
    replace: str
    fails: tuple[str, ...]
    kind: str

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """The mistake in a table of the TOML file."""
        return cls(table["find"], table["replace"], tuple(table["fails"]), table["kind"])


@dataclass(frozen=True)
class OwnNotebook:
    """A notebook of an own network: its script in percent cells, and what a check should find in it.

    Attributes
    ----------
    right
        Every gradient that is written by hand; a tensor with two of them is in two pairs.
    """

    name: str
    about: str
    script: str
    right: tuple[Pair, ...]
    mistakes: tuple[PlantedMistake, ...]

    @classmethod
    def read(cls, name: str) -> Self:
        """The notebook of this name."""
        expected = tomllib.loads((OWN / f"{name}.toml").read_text(encoding="utf-8"))
        right = [
            Pair(tensor, variable)
            for tensor, variables in expected["right"].items()
            for variable in ([variables] if isinstance(variables, str) else variables)
        ]
        mistakes = tuple(PlantedMistake.of(table) for table in expected["mistake"])
        script = (OWN / f"{name}.py").read_text(encoding="utf-8")
        return cls(name, expected["about"], script, tuple(right), mistakes)

    @property
    def notebook(self) -> NotebookNode:
        """The notebook itself, every gradient right."""
        return parse_script(self.script)

    def planted(self, mistake: PlantedMistake) -> NotebookNode:
        """The notebook with this mistake in it."""
        if (count := self.script.count(mistake.find)) != 1:
            raise ValueError(f"{self.name}: {mistake.find!r} occurs {count} times, not once")
        return parse_script(self.script.replace(mistake.find, mistake.replace))


@dataclass(frozen=True)
class Played:
    """What the cells left behind: their names, and the errors that ended cells."""

    namespace: dict[str, Any]
    errors: tuple[Exception, ...]

    def value(self, text: str) -> Any:
        """The value of a name, an attribute or an item."""
        return eval(text, self.namespace)


def play(notebook: NotebookNode) -> Played:
    """Run all code cells as plain Python, one after the other; a cell with an error does not end the others."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    errors = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                with redirect_stdout(io.StringIO()):
                    exec(compile(_MAGIC.sub("# ", cell.source), cell.id, "exec"), namespace)
            except Exception as error:
                errors.append(error)
    return Played(namespace, tuple(errors))


NAMES = tuple(sorted(path.stem for path in OWN.glob("*.py")))
"""The names of all notebooks."""
