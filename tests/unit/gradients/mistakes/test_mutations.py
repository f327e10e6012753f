"""Every single mechanical mistake in the worked solution is marked wrong, and most are named."""

import ast
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from handgrad import CheckFailed
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.comparison import compare
from handgrad.gradients.mistakes.catalogue import CATALOGUE
from handgrad.grading.grader import Grader
from handgrad.grading.mutants import Mutant, mutants
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Verdict
from handgrad.submission.submission import Submission
from helpers.paths import ROOT
from helpers.warm_grader import warm_grader

DIAGNOSIS = ROOT / "docs/why/diagnosis.md"
TRUE = {
    "factor dropped": "missing-factor step-left-out scale sign local-only other-gradient wrong-variable other-factor "
    "shape-broadcast shape-sum not-a-tensor "
    "zero-in-theory invisible-branch unreached dtype",
    "term dropped": "missing-branch several-branches missing-eps scale other-gradient wrong-variable other-factor "
    "extra-term zero-in-theory invisible-branch",
    # n+1 for n-1 is a factor
    "sign flipped": "sign branch-sign scale zero-in-theory invisible-branch",
    "wrong dimension": "wrong-dim zero-in-theory",
    "keepdim": "shape-rank shape-broadcast zero-in-theory",
    "n for n-1": "scale",
    # several dimensions turned round at once are no swap of two
    "transposed": "transposed moved",
    "forward for gradient": "wrong-variable other-factor zero-in-theory invisible-branch",
    # a small gradient squared beside a 1 leaves no trace of the slope
    "gradient for forward": "wrong-variable other-factor other-gradient zero-in-theory invisible-branch",
    "zero": "zeros zero-in-theory",
    "last write": "last-write-wins",
}
"""For each kind of mutation, the diagnoses that are true of it; `one-change` is true of all, as it names the kind."""


def slips(gradient: str, source: str, above: list[str]) -> list[Mutant]:
    """The mutants of one worked solution whose kind a diagnosis can name."""
    return [mutant for mutant in mutants(gradient, source, above) if mutant.kind in TRUE]


@pytest.fixture(scope="module")
def doubles(exercise: Exercise) -> list[Reference]:
    """References in double precision, on other seeds and other sizes than those of the grader."""
    sizes: list[dict[str, Any]] = [{}, {"batch_size": 12, "n_hidden": 17, "n_embd": 5}, {"batch_size": 40}]
    torch.set_default_dtype(torch.float64)
    try:
        return [Reference.of(exercise, {"seed": 7 + number, **size}) for number, size in enumerate(sizes)]
    finally:
        torch.set_default_dtype(torch.float32)


def equivalent(mutant: Mutant, references: list[Reference]) -> bool:
    """Whether a mutant is right in double precision too: in a step of random gradients, or on a loss that can tell."""
    if all(_right(mutant, reference, reference.step.upstream, reference.step.gradients) for reference in references):
        return True
    blind = mutant.gradient.removeprefix("d") in ForwardFacts.of(references).blind
    return not blind and all(
        _right(mutant, reference, reference.gradients, reference.gradients) for reference in references
    )


def _right(
    mutant: Mutant, reference: Reference, above: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> bool:
    namespace = {
        name: value.detach() if isinstance(value, torch.Tensor) else value
        for name, value in reference.namespace.items()
    }
    namespace |= {f"d{name}": value for name, value in above.items()}
    wanted = expected[mutant.gradient.removeprefix("d")]
    try:
        exec(mutant.source, namespace)
    except Exception:
        return False
    answer = namespace[mutant.gradient]
    return isinstance(answer, torch.Tensor) and compare(answer, wanted).approximate


@dataclass(frozen=True)
class Graded:
    """A mutant and what became of it."""

    mutant: Mutant
    verdict: Verdict

    @property
    def raises(self) -> bool:
        """Whether its cell gave no value: Python's own message is what the student reads."""
        return self.verdict.outcome == "error"

    @property
    def slug(self) -> str:
        """The diagnosis; empty where there is none."""
        return self.verdict.diagnosis.mistake if self.verdict.diagnosis else ""

    @property
    def true(self) -> bool:
        """Whether there is a diagnosis, and it is true of this kind of mistake."""
        return self.slug in (*TRUE[self.mutant.kind].split(), "one-change")


@pytest.fixture(scope="module")
def waiting(solutions: dict[str, str], doubles: list[Reference]) -> dict[str, list[Mutant]]:
    """Every mutant that is not equivalent, by its gradient."""
    names = list(solutions)
    return {
        name: [mutant for mutant in slips(name, solutions[name], names[:number]) if not equivalent(mutant, doubles)]
        for number, name in enumerate(names)
    }


@pytest.fixture(scope="module")
def graded(grader: Grader, submit: Callable[..., Submission], waiting: dict[str, list[Mutant]]) -> list[Graded]:
    """Every mutant, graded: one of each gradient in a submission, as each is judged alone."""
    rows = [{mutant.gradient: mutant for mutant in row if mutant} for row in itertools.zip_longest(*waiting.values())]
    found = []
    for row in rows:
        report = grader.grade(submit(**{name: mutant.source for name, mutant in row.items()})).report
        found += [Graded(row[verdict.gradient], verdict) for verdict in report.checks if verdict.gradient in row]
    return found


def test_every_mutant_is_marked_wrong(graded: list[Graded], solutions: dict[str, str]) -> None:
    """No mechanical mistake gets full marks, in any of the 26 gradients."""
    assert {result.mutant.gradient for result in graded} == set(solutions)
    passed = [result.mutant for result in graded if result.verdict.outcome == "passed"]
    assert not passed


def test_no_diagnosis_gives_the_formula_away(graded: list[Graded], solutions: dict[str, str]) -> None:
    """What a student reads of a wrong answer does not hold the expression of the worked solution."""
    for result in graded:
        last = ast.parse(solutions[result.mutant.gradient]).body[-1]
        assert isinstance(last, ast.Assign)
        said = "".join(result.verdict.sentence.split())
        assert "".join(ast.unparse(last.value).split()) not in said, result


def test_most_mutants_are_named(graded: list[Graded], capsys: pytest.CaptureFixture[str]) -> None:
    """At least four in five of the wrong values get a diagnosis that names the mistake, and no diagnosis is false."""
    valued = [result for result in graded if not result.raises]
    named = [result for result in valued if result.true]
    with capsys.disabled():
        print(f"\n{len(graded)} mutants marked wrong; {len(graded) - len(valued)} raise an error, which is shown;")
        print(f"of the {len(valued)} that give a value, {len(named)} ({len(named) / len(valued):.0%}) are named:")
        for kind in TRUE:
            ours = [result for result in valued if result.mutant.kind == kind]
            slugs = Counter(result.slug or "not recognised" for result in ours)
            print(f"  {kind:21} {sum(result.true for result in ours):3} of {len(ours):3}  {dict(slugs.most_common())}")
    assert not [(result.mutant, result.slug) for result in valued if result.slug and not result.true]
    assert len(named) >= 0.8 * len(valued)
    quoted = " ".join(DIAGNOSIS.read_text(encoding="utf-8").split())
    assert f"The other {len(graded)} are all marked wrong." in quoted
    assert f"of the {len(valued)} that give a value, {len(named)} ({len(named) / len(valued):.0%}) get a" in quoted


@pytest.mark.parametrize(
    "assignment", ["layer_norm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("attention", "convolution"))]
)
def test_other_exercises(assignment: str) -> None:
    """In other exercises too three in four wrong values are named, none falsely; right ones are told nothing."""
    exercise = Exercise.read(ROOT / "source" / assignment / f"{assignment}.ipynb")
    notebook = read_notebook(ROOT / "solutions" / assignment / f"{assignment}.ipynb")
    cells = {grade_id(cell): cell for cell in notebook.cells if kind_of(cell) == "stub"}
    solutions = {name: cell.source for name, cell in cells.items()}
    names, verdicts = list(solutions), []
    waiting = [slips(name, solutions[name], names[:number]) for number, name in enumerate(names)]
    with warm_grader(exercise, [314159]) as grader:
        for row in itertools.zip_longest(*waiting):
            for name, mutant in zip(names, row, strict=True):
                cells[name].source = mutant.source if mutant else solutions[name]
            report = grader.grade(Submission.of(notebook, exercise)).report
            verdicts += [Graded(mutant, verdict) for mutant, verdict in zip(row, report.checks, strict=True) if mutant]
    valued = [result for result in verdicts if result.verdict.outcome in ("failed", "partial")]
    assert not [(result.mutant, result.slug) for result in valued if result.slug and not result.true]
    # a factor dropped from a product in three dimensions leaves shapes of which nothing can be said
    assert len([result for result in valued if result.true]) >= 0.75 * len(valued)
    told = [
        result
        for result in verdicts
        if result.verdict.outcome == "passed" and result.slug not in ("", "carried", "missing-eps")
    ]
    assert not told


@dataclass(frozen=True)
class Told:
    """What a student's own notebook says of a mutant: the slug of a diagnosis, or empty."""

    mutant: Mutant
    slug: str
    what: str


def _at_home(namespace: dict[str, Any], mutant: Mutant) -> Told | None:
    """Run a mutant's cell and its check; None where it raises or passes, as some do on this loss."""
    name = mutant.gradient.removeprefix("d")
    try:
        exec(mutant.source, namespace)
    except Exception:
        return None
    try:
        exec(f"cmp({name!r}, d{name}, {name})", namespace)
    except CheckFailed as error:
        found = error.diagnosis
        return Told(mutant, found.mistake if found.mistake in CATALOGUE else "", found.what)
    return None


@pytest.fixture(scope="module")
def evening(
    exercise: Exercise, play: Any, solutions: dict[str, str], waiting: dict[str, list[Mutant]]
) -> Callable[[str], list[Told]]:
    """What is said of every mutant where the cells above it hold the worked solution, and one line more."""

    def run(slip: str) -> list[Told]:
        namespace, told = play(exercise), []
        for name, source in solutions.items():
            told += [reply for mutant in waiting[name] if (reply := _at_home(dict(namespace), mutant))]
            exec(source, namespace)
            if slip.startswith(f"{name} "):
                exec(slip, namespace)
        return told

    return run


@pytest.mark.slow
@pytest.mark.parametrize("slip", ["", "dcounts = 2 * dcounts - 0.1 * dcounts.abs()"], ids=["right", "with a slip"])
def test_mutants_at_home(slip: str, evening: Callable[[str], list[Told]], capsys: pytest.CaptureFixture[str]) -> None:
    """In the student's notebook, whether all above is right or not, most wrong values are named, and none falsely."""
    told = evening(slip)
    named = [reply for reply in told if reply.slug]
    with capsys.disabled():
        above = "a slip in dcounts" if slip else "everything above right"
        print(f"\nat home, with {above}: {len(told)} mutants do not pass, {len(named)} are named")
    assert not [reply for reply in named if reply.slug not in TRUE[reply.mutant.kind].split()]
    assert len(named) >= 0.8 * len(told)
    quoted = " ".join(DIAGNOSIS.read_text(encoding="utf-8").split())
    assert (f"it is {len(told)} and {len(named)}." if slip else f"There {len(told)} of the mutants") in quoted
    assert slip or f"{len(named)} of them are named." in quoted
