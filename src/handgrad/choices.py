"""What the command line offers to choose from."""

import enum

__all__ = ["Export", "Format", "ProofFormat", "Service"]


class Format(enum.StrEnum):
    """How a report is written."""

    text = "text"
    json = "json"
    junit = "junit"
    gradescope = "gradescope"
    classroom = "classroom"


class Export(enum.StrEnum):
    """For whom scores are exported."""

    csv = "csv"
    json = "json"
    canvas = "canvas"
    moodle = "moodle"
    moodle_worksheet = "moodle-worksheet"
    gradescope = "gradescope"


class Service(enum.StrEnum):
    """Who grades with handgrad."""

    gradescope = "gradescope"
    github = "github"


class ProofFormat(enum.StrEnum):
    """How a proof is written."""

    text = "text"
    json = "json"
