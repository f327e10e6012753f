"""Cells run as IPython runs them, without a kernel."""

import json
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.displayhook import DisplayHook

from handgrad.notebook import execution
from handgrad.notebook.execution import CellError, CompiledCell, Outputs, captured, new_namespace, run_cell
from helpers.inputs import named

Shown = list[tuple[str, str]]


def _run(
    source: str, namespace: dict[str, Any] | None = None, *, traceback: bool = False
) -> tuple[CellError | None, Shown]:
    """Run one cell; its error, and what it showed as ``(stream or kind, text)``."""
    namespace = new_namespace() if namespace is None else namespace
    with captured() as outputs:
        error = run_cell(CompiledCell(textwrap.dedent(source)), namespace, traceback=traceback, in_sandbox=True)
    return error, _shown(outputs)


def _shown(outputs: Outputs) -> Shown:
    items = outputs.take()
    for item in items:
        nbformat.validate(nbformat.from_dict(item), ref="output", version=4)
    return [(item.get("name", item["output_type"]), item.get("text") or item["data"]["text/plain"]) for item in items]


def test_last_expression_is_shown() -> None:
    """The value of the last expression is shown as Python prints it, unless it is None."""
    for source in ["1 + 1", "x = 2\nx", "'a;'", "[1,\n 2]", "(lambda: 3)()", "None", "...", "{}", "1;2"]:
        with named(source):
            error, shown = _run(source)
            assert error is None
            *before, last = source.replace(";", "\n").splitlines() if source in ("x = 2\nx", "1;2") else [source]
            namespace: dict[str, Any] = {}
            exec("\n".join(before), namespace)
            value = eval(last, namespace)
            assert shown == ([] if value is None else [("execute_result", repr(value))])


def test_nothing_is_shown() -> None:
    """A semicolon at the end, and whatever is no last expression, shows nothing."""
    for source in ["1;", "x = 1", "x = 1;", "1; ", "1;\n\n", "for i in range(3):\n    i", "1\nx = 2", ""]:
        with named(source):
            assert _run(source) == (None, [])


def test_semicolon_and_comment() -> None:
    """A comment after the semicolon changes nothing, and one that ends in a semicolon is a comment."""
    for source in ["1;  # quiet", "1;\n# quiet", "1  # not quiet;", "1\n# not quiet;"]:
        with named(source):
            quiet = DisplayHook.semicolon_at_end_of_expression(source)
            assert _run(source) == (None, [] if quiet else [("execute_result", "1")])


def test_time_magic() -> None:
    """``%%time`` runs the cell in the notebook's namespace, shows its time, and lets its errors out."""
    namespace = new_namespace()
    error, shown = _run("%%time\nx = 2\nx + 1", namespace)
    assert error is None
    assert namespace["x"] == 2
    assert [kind for kind, _ in shown] == ["stdout", "execute_result"]
    assert "Wall time" in shown[0][1]
    assert shown[1][1] == "3"
    error, _ = _run("%%time\ny = x\n1 / 0", namespace)
    assert error is not None
    assert error.name == "ZeroDivisionError"
    assert namespace["y"] == 2


def test_shell_commands() -> None:
    """``!`` shows what a command prints, or gives it to a name."""
    assert _run("!echo one && echo two") == (None, [("stdout", "one\r\ntwo\r\n")])
    assert _run("word = 'three'\nlines = !echo $word\nlines") == (None, [("execute_result", "['three']")])


@pytest.mark.parametrize("source", ["%matplotlib inline", "%config InlineBackend.figure_format = 'svg'"])
def test_magics_of_honest_notebooks(source: str) -> None:
    """What notebooks begin with runs and shows nothing."""
    assert _run(source) == (None, [])


def test_unknown_magic() -> None:
    """A magic that is not there is an error of the cell."""
    error, _ = _run("%no_such_magic")
    assert error is not None
    assert error.name == "UsageError"
    assert "no_such_magic" in error.message


def test_top_level_await() -> None:
    """``await`` stands at top level as in Jupyter, its value is shown, and the cell before sees what it assigned."""
    namespace = new_namespace()
    source = (
        "import asyncio\nasync def double(x):\n    await asyncio.sleep(0)\n    return 2 * x\ny = await double(4)\ny"
    )
    assert _run(source, namespace) == (None, [("execute_result", "8")])
    assert namespace["y"] == 8
    assert _run("await double(y)", namespace) == (None, [("execute_result", "16")])
    error, _ = _run("z = 1\nawait double(None)", namespace)
    assert error is not None
    assert error.name == "TypeError"
    assert namespace["z"] == 1


RAISES = {
    "SystemExit": "x = 1\nimport sys\nsys.exit(3)\nx = 2",
    "KeyboardInterrupt": "x = 1\nraise KeyboardInterrupt\nx = 2",
    "GeneratorExit": "x = 1\nraise GeneratorExit\nx = 2",
    "ZeroDivisionError": "x = 1\nx / 0\nx = 2",
    "RecursionError": "x = 1\ndef f(): f()\nf()\nx = 2",
    "Mine": "x = 1\nclass Mine(BaseException): pass\nraise Mine('why')\nx = 2",
}


def test_everything_raised_ends_at_the_cell() -> None:
    """Whatever a cell raises is its error, and what it assigned before stays."""
    for name, source in RAISES.items():
        with named(name):
            namespace = new_namespace()
            error, shown = _run(source, namespace, traceback=True)
            assert error is not None
            assert error.name == name
            assert shown == []
            assert namespace["x"] == 1
            assert name in "\n".join(error.traceback)
            assert error.line == len(source.splitlines()) - 1
            lines = list(error.traceback)
            assert error.to_dict() == {"name": name, "message": error.message, "traceback": lines, "line": error.line}


def test_message_that_cannot_be_read() -> None:
    """An exception whose text raises is an error with a text of ours."""
    error, _ = _run("class Odd(Exception):\n    def __str__(self): raise SystemExit\nraise Odd", traceback=True)
    assert error is not None
    assert error.name == "Odd"
    assert "could not be read: SystemExit" in error.message


def test_syntax_errors() -> None:
    """A cell that is not Python is an error each time it runs, and nothing of it ran."""
    for source in ["def f(:\n    pass", "x = 1\nreturn x", "x = = 1", "print 'x'", "\0", "if 1:", "'''open"]:
        with named(source):
            cell, namespace = CompiledCell(f"done = 1\n{source}"), new_namespace()
            for _ in range(2):
                with captured() as outputs:
                    error = run_cell(cell, namespace, traceback=True)
                assert error is not None
                assert error.name in ("SyntaxError", "ValueError", "IndentationError", "_IncompleteInputError")
                assert "done" not in namespace
                assert outputs.take() == []


@pytest.mark.parametrize("source", ["x = 1\ny = (2", "a b", "%%time\nz = = 3"])
def test_the_traceback_of_a_syntax_error(source: str) -> None:
    """It shows the cell, as in Jupyter, and no file of the grader's."""
    error = run_cell(CompiledCell(source, "<cell 1>"), new_namespace(), traceback=True)
    assert error is not None
    text = "\n".join(error.traceback)
    assert "SyntaxError" in text
    assert "execution.py" not in text
    assert "ast.py" not in text
    assert "During handling" not in text


def test_traceback_shows_the_line() -> None:
    """A traceback shows the source of the cell, and is left out where it is not wanted."""
    error, _ = _run("a = 1\nb = a / 0  # here", traceback=True)
    assert error is not None
    assert "# here" in "\n".join(error.traceback)
    error, _ = _run("a = 1\nb = a / 0  # here")
    assert error is not None
    assert error.traceback == ()


def test_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many passes run a cell, it is compiled once, and each pass has its own namespace."""
    cell = CompiledCell("y = x + 1")
    first = cell.code()
    monkeypatch.setattr(execution, "compile", None, raising=False)
    for x in range(3):
        namespace = {**new_namespace(), "x": x}
        assert run_cell(cell, namespace) is None
        assert namespace["y"] == x + 1
    assert cell.code() is first


def test_order() -> None:
    """Streams, displays and results come in the order in which they were written; text of one stream is joined."""
    source = """
        import sys
        print("a")
        print("b")
        print("c", file=sys.stderr)
        print("d")
        display(1)
        print("e")
        2
        """
    assert _run(source)[1] == [
        ("stdout", "a\nb\n"),
        ("stderr", "c\n"),
        ("stdout", "d\n"),
        ("display_data", "1"),
        ("stdout", "e\n"),
        ("execute_result", "2"),
    ]


def test_take_starts_again() -> None:
    """What was taken is not given again, and the room for text is whole again."""
    outputs = Outputs()
    outputs.write("stdout", "x" * (execution.MAX_TEXT + 1))
    assert len(outputs.take()[0]["text"]) > execution.MAX_TEXT
    outputs.write("stdout", "y")
    assert outputs.take() == [{"output_type": "stream", "name": "stdout", "text": "y"}]
    assert outputs.take() == []


def test_text_is_capped() -> None:
    """Of endless text the beginning is kept, over both streams together, and the cut is said once."""
    source = f"""
        import sys
        for _ in range(20):
            print("x" * {execution.MAX_TEXT // 10})
            print("y" * {execution.MAX_TEXT // 10}, file=sys.stderr)
        """
    _, shown = _run(source)
    text = "".join(part for _, part in shown)
    assert text.count("cut: too much output") == 1
    assert text.endswith("(cut: too much output)\n")
    kept = text.replace("\n... (cut: too much output)\n", "")
    assert len(kept) == execution.MAX_TEXT
    assert {"stdout", "stderr"} == {kind for kind, _ in shown}


def test_rich_output_is_capped() -> None:
    """Rich outputs are capped in number and in size."""
    _, shown = _run(f"for i in range({execution.MAX_ITEMS + 50}): display(i)")
    assert shown == [("display_data", str(number)) for number in range(execution.MAX_ITEMS)]
    source = f"display({{'text/html': 'x' * {execution.MAX_RICH + 1}, 'text/plain': 'x'}}, raw=True)"
    ((kind, text),) = _run(source)[1]
    assert kind == "display_data"
    assert text == f"(an output of {execution.MAX_RICH + 2:,} characters was left out)"


def test_figures_become_text() -> None:
    """Binary output is stored as Jupyter stores it, in base64."""
    import base64

    outputs = Outputs()
    outputs.add("display_data", {"image/png": b"\x89PNG", "text/plain": "<Figure>"}, {})
    (item,) = outputs.take()
    assert base64.b64decode(item["data"]["image/png"]) == b"\x89PNG"


def test_clear_output() -> None:
    """``clear_output`` takes back what was shown before it, as a progress bar does."""
    source = """
        from IPython.display import clear_output
        for number in range(3):
            clear_output(wait=True)
            print(number)
        """
    assert _run(source)[1] == [("stdout", "2\n")]


def test_nothing_stays_redirected(capsys: pytest.CaptureFixture[str]) -> None:
    """After a capture, also one that ends in an exception, streams and hooks are what they were."""
    before = sys.stdout, sys.stderr, sys.displayhook, execution.the_shell().display_pub
    kept = []

    def fail() -> None:
        with captured() as outputs:
            kept.append(outputs)
            print("inside")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert (sys.stdout, sys.stderr, sys.displayhook, execution.the_shell().display_pub) == before
    print("outside")
    assert capsys.readouterr().out == "outside\n"
    assert _shown(kept[0]) == [("stdout", "inside\n")]


def test_namespaces_are_apart() -> None:
    """Each namespace is a fresh ``__main__``, magics included."""
    namespace, other = new_namespace(), new_namespace()
    _run("%%time\nx = 1", namespace)
    error, _ = _run("%%time\nx", other)
    assert error is not None
    assert error.name == "NameError"
    assert _run("__name__", namespace) == (None, [("execute_result", "'__main__'")])
    assert _run("get_ipython() is not None", namespace) == (None, [("execute_result", "True")])


@pytest.mark.parametrize(
    "source",
    [
        "x = (",
        "%time x = (",
        "%%time\nx = (",
        "exec('x = (')",
        "%nosuch",
        "%run nosuch.py",
        "from json import nosuch",
        "import torch\ntorch.nn.functional.cross_entropy(torch.ones(3), 5)",
        "import json\ntry:\n    json.loads('{')\nexcept ValueError as error:\n    raise KeyError(1) from error",
        "import asyncio\nawait asyncio.sleep('x')",
        "import sys\nraise ValueError(sys.modules['json'].__file__)",
        "import torch, warnings\nwarnings.warn_explicit('odd', UserWarning, torch.__file__, 1)",
        "!x\n" * 600,
    ],
)
def test_no_paths_of_this_machine(source: str) -> None:
    """An error has the student's lines, and no path of a library, of Python or of handgrad; nor has a warning."""
    namespace = new_namespace()
    with captured() as outputs:
        error = run_cell(CompiledCell(source, "<cell 7>"), namespace, traceback=True)
    said = json.dumps([error.to_dict() if error else None, outputs.take()])
    assert "warn" in source or (error and error.message.splitlines()[-1] in error.traceback[-1])
    for place in (sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), str(Path(json.__file__).parents[1])):
        assert place not in said
    assert "shell.py" not in said
    assert "site-packages" not in said
