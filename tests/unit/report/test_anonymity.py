"""A class page for showing in class: nothing in its source gives a name away."""

from dataclasses import replace

from handgrad.report.anonymity import without_names
from handgrad.report.class_summary import Example
from handgrad.report.pages import ClassContext, Links, class_page
from handgrad.report.records import AcceptedAnswer, Diagnosis, Report, ScoreEntry
from helpers.inputs import named
from helpers.reports import BRANCH, CHECKS, GRAPH, a_class, report

NAMES = {f"s{number:04}": name for number, name in enumerate(("Ada Lovelace", "Kurt Gödel", "Emmy Noether"))}


def of_class() -> tuple[list[Report], ClassContext]:
    """A class in which every text that may name somebody does."""
    reports = a_class(12)
    undefined = Diagnosis("undefined", "dh is never assigned; it assigns my_nickname.", "Assign it.", "dh")
    missing = Diagnosis("missing-branch", "The branch lacks what Noether has.", "Ask Emmy.", "dcounts")
    telling = [replace(check, message="as s0001 said: Gödel", diagnosis=BRANCH) for check in CHECKS]
    reports[2] = replace(report(student="s0002", checks=(*telling[:-1], replace(telling[-1], diagnosis=undefined))))
    reports += [
        replace(reports[3], student=f"s002{place}", checks=(replace(telling[1], diagnosis=missing),))
        for place in (1, 2)
    ]
    reports += [report("unreadable", "s0030"), replace(reports[0], student="s0031", message="Ada.ipynb was graded.")]
    reports = [replace(student_report, solution_cells=3) for student_report in reports]
    examples = {
        ("missing-branch", "dcounts"): (Example("dcounts = lovelace * 2", 5), Example("dcounts = common", 3)),
        ("shape-rank", "dbnmeani"): (Example("dbnmeani = my_own_style", 2),),
    }
    return reports, ClassContext(
        GRAPH,
        {"s0003": ScoreEntry(9.0, 11.0, 2.0, by_hand=("check_dcounts",))},
        examples,
        {
            student_report.student: Links(
                f"autograded/{student_report.student}.ipynb", f"feedback/{student_report.student}.html"
            )
            for student_report in reports
        },
        NAMES,
        ["s0099"],
        {"s0004": reports[5]},
        [AcceptedAnswer("backprop", "dh", "s0005", "", 0.0, 1.0, "Kurt asked", "prof", "2026-01-02T03:04:05")],
        ["s0042 (Lovelace) is not in the roster"],
    )


def test_nothing_gives_a_name_away() -> None:
    """No id, no name, no link, no message and no text that one student alone wrote is in the page's source."""
    reports, context = of_class()
    page = class_page(reports, "backprop", context)
    anonymous, without = without_names(reports, context, [*NAMES, *NAMES.values()])
    hidden = class_page(anonymous, "backprop", without)
    telling = [
        "Lovelace",
        "Gödel",
        "Noether",
        "Emmy",
        "Kurt",
        "Ada",
        "my_nickname",
        "my_own_style",
        "prof",
        "late:",
        '<a href="feedback',
        "autograded/",
        "handed in again",
        "solution cells",
        *(student_report.student for student_report in reports),
    ]
    for text in telling:
        with named(text):
            assert text not in hidden
    assert "Kurt Gödel" in page
    assert "my_nickname" in page
    # what helps the class stays
    for text in ("The branch through counts_sum is missing.", "dcounts = common", "Where the class got lost"):
        assert text in hidden
    assert hidden.count("<tr data-is=") == len(reports)


def test_the_order_is_that_of_the_scores() -> None:
    """The best comes first, whoever they are, with the gradebook's score; who has none comes last."""
    reports, context = of_class()
    anonymous, context = without_names(reports, context, ())
    assert [student_report.student for student_report in anonymous] == [
        str(place) for place in range(1, len(reports) + 1)
    ]
    scores = [
        context.entries[student_report.student].final
        for student_report in anonymous
        if student_report.student in context.entries
    ]
    assert scores == sorted(scores, reverse=True)
    assert 7.0 in scores
    assert anonymous[-1].outcome == "unreadable"
    backwards, _ = without_names(reports[::-1], ClassContext(), ())
    assert [student_report.checks for student_report in backwards] == [
        student_report.checks for student_report in without_names(reports, ClassContext(), ())[0]
    ]
