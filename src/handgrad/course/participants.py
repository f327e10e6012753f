"""Who handed in what, as a service's own list beside the hand-ins says."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Participant"]


@dataclass(frozen=True)
class Participant:
    """One hand-in in the list, or one student of a group that handed in; what the list does not say is empty.

    Attributes
    ----------
    number
        The number by which the archive names the hand-in, in this assignment: of Moodle's participant, of Gradescope's
        submission.
    group
        The group that handed in, if several students did together.
    time
        When something was last handed in. Without a zone, in Moodle's worksheet, it is in that of the instructor's
        profile, to the minute. None if nothing was handed in, or if the date cannot be read.
    text
        The same as it is written.
    known_as
        What the student is called who is not in the roster, where that is not the number: Gradescope has another
        number for each submission.
    """

    number: str
    name: str = ""
    id_number: str = ""
    email: str = ""
    group: str = ""
    time: datetime | None = None
    text: str = ""
    known_as: str = ""
