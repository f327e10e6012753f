"""The report as JSON: the contract that every tool may rely on."""

import json

from handgrad.report import Report

__all__ = ["report_json"]


def report_json(report: Report) -> str:
    """Schema 1, in ASCII, so that no name and no message can be one that a file cannot hold.

    Raises
    ------
    ValueError
        A number is NaN or infinite: JSON has no such numbers.
    """
    return json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"
