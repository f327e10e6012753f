"""One record, many faces: pure functions of a report, or of a class's reports.

Every function that gives a text gives one that ends with a newline. Whatever a student wrote (a name, the message of an
exception) is cleaned of control characters and escaped for the format at hand.
"""

from handgrad.render.alike import alike_text
from handgrad.render.cell import check_outputs, comment
from handgrad.render.changes import changes_table
from handgrad.render.classroom import report_classroom
from handgrad.render.feedback import Feedback, Piece, feedback_page
from handgrad.render.findings import Example, Finding, findings
from handgrad.render.gradescope import report_gradescope
from handgrad.render.html import Links, Surroundings, class_page
from handgrad.render.json_ import report_json
from handgrad.render.junit import report_junit
from handgrad.render.text import class_table, report_text

__all__ = [
    "Example",
    "Feedback",
    "Finding",
    "Links",
    "Piece",
    "Surroundings",
    "alike_text",
    "changes_table",
    "check_outputs",
    "class_page",
    "class_table",
    "comment",
    "feedback_page",
    "findings",
    "report_classroom",
    "report_gradescope",
    "report_json",
    "report_junit",
    "report_text",
]
