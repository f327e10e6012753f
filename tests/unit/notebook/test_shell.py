"""Cells as IPython accepts them, and packages that are not installed."""

import time

import pytest

from handgrad.notebook.execution import CompiledCell, begin_session, captured, new_namespace, run_cell
from handgrad.notebook.shell import to_python


def _run(*sources: str) -> tuple[dict[str, object], list[str]]:
    """The namespace after the cells, and what they raised."""
    namespace, errors = new_namespace(), []
    namespace["given"] = 1
    begin_session(namespace)
    with captured():
        for source in sources:
            error = run_cell(CompiledCell(source), namespace)
            errors += [f"{error.name} in line {error.line}: {error.message}"] if error else []
    return namespace, errors


@pytest.mark.parametrize(
    "cells",
    [
        ["#@title My answer\n%%time\nx = 1"],
        ["\n# a comment\n\n%%capture\nx = 1"],
        ["%cd .\nx = 1"],
        ["files = !ls /nowhere\nx = 1"],
        ["!pip install nothing-at-all\nx = 1"],
        ["1", "x = _"],
        ["1", "2", "x = __"],
        ["y = 3\n%reset -f\nx = given"],
        ["%load_ext autoreload\n%autoreload 2\nx = 1"],
        ["%%bash\nls", "x = 1"],
        ["%precision 3\n%config InlineBackend.figure_format = 'svg'\nx = 1"],
    ],
)
def test_what_ipython_accepts(cells: list[str]) -> None:
    """Magics, forms, shell commands and the last output do not end a cell."""
    namespace, errors = _run(*cells)
    assert errors == []
    assert namespace["x"] == 1


def test_the_rest_of_a_cell_runs_without_a_package() -> None:
    """After an import that fails, what does not need the package runs; the exception names it."""
    namespace, errors = _run("from nowhere.drive import mount\nmount('/content')\nimport math\nx = math.sqrt(1.0)")
    assert errors == ["ModuleNotFoundError in line 1: No module named 'nowhere'"]
    assert namespace["x"] == 1
    namespace, errors = _run("import nowhere as nw, math\ny = nw.read_csv('a')[0]\nx = math.pi")
    assert len(errors) == 1
    assert namespace["x"] > 3  # type: ignore[operator]


def test_another_error_ends_a_cell() -> None:
    """Only a missing package is forgiven; the line is that of the cell."""
    namespace, errors = _run("#@title A form\n%%time\nx = 1\ny = unknown\nz = 1")
    assert errors == ["NameError in line 4: name 'unknown' is not defined"]
    assert "z" not in namespace


def test_too_many_magics() -> None:
    """IPython reads a cell again for each magic: a cell with too many is not read; a long shell script is."""
    assert to_python("!x\n" * 50).count("system") == 50
    for text in ("!x\n" * 600, "x?\n" * 499, "a = !ls\n" * 400, "%time\n" * 300 + "a = 1\n" * 1000):
        started = time.process_time()
        with pytest.raises(SyntaxError, match="too many to read"):
            to_python(text)
        assert time.process_time() - started < 0.5
    assert "run_cell_magic" in to_python("%%bash\n" + "!x\n" * 600)
