"""The progress file beside the notebook: which gradients were right, what help was asked for, and when.

`handgrad check` notes there how many answers were right on fresh data.

It is for the student alone: it is never sent anywhere, and collecting leaves it out. Whatever is wrong with it or with
its folder, no error is raised.
"""

import json
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

__all__ = ["FILE", "asked", "checked", "last_time", "passed", "right_in"]

FILE = ".handgrad-progress.json"
"""Its name, in the current folder of the kernel."""
SCHEMA = 1
_EXERCISES = 20
"""So many exercises of one folder are kept, the last ones used."""
_LARGEST = 1_000_000
"""A longer file is none of ours."""

Record = dict[str, Any]
"""An exercise: the tensors with a gradient, and for each gradient when it was right and what was asked for."""


def passed(namespace: Mapping[str, Any], name: str, tensors: Collection[str]) -> None:
    """Note that the gradient of ``name``, one of ``tensors``, has passed its check in the notebook ``namespace``."""
    with suppress(Exception):
        if _is_students(namespace):
            record, others = _record(tensors)
            record["right"][f"d{name}"] = _now()
            _write(record, others)


def asked(namespace: Mapping[str, Any], what: str, name: str, tensors: Collection[str]) -> None:
    """Note that the help ``what`` was shown for the gradient of ``name``, one of ``tensors``."""
    with suppress(Exception):
        if _is_students(namespace):
            record, others = _record(tensors)
            helps = record["asked"].setdefault(f"d{name}", {})
            helps[what] = helps.get(what, 0) + 1
            _write(record, others)


def last_time(namespace: Mapping[str, Any], today: date | None = None) -> str | None:
    """When how many gradients were right, in one clause, for the exercise that was used last; None if none is known."""
    with suppress(Exception):
        records = _read() if _is_students(namespace) else []
        if records and (right := records[0]["right"]):
            last = max(datetime.fromisoformat(when) for when in right.values())
            total = max(len(records[0]["tensors"]), len(right))
            verb = "was" if len(right) == 1 else "were"
            return f"{_day(last, today or date.today())} {len(right)} of {total} {verb} right"
    return None


def checked(folder: Path, exercise: str, right: Collection[str]) -> None:
    """Note the answers to an ``exercise`` that were right in a check of the notebook in ``folder``."""
    with suppress(Exception):
        data = _data(folder / FILE)
        data.setdefault("checked", {})[exercise] = {"right": sorted(right), "when": _now()}
        _replace(folder / FILE, {**data, "schema": SCHEMA, "exercises": data.get("exercises", [])})


def right_in(folder: Path, exercise: str, gradients: Collection[str], others: Collection[str] = ()) -> int:
    """How many of the ``gradients`` and ``others`` of an exercise in ``folder`` were right, at home or in a check."""
    with suppress(Exception):
        data = _data(folder / FILE)
        found = set(data.get("checked", {}).get(exercise, {}).get("right", ()))
        for record in filter(_is_record, data.get("exercises", ())):
            # exercises share names of tensors: it is the record that has all of them
            if {gradient.removeprefix("d") for gradient in gradients} <= {*record["tensors"]}:
                found |= {*record["right"]}
        return len(found & {*gradients, *others})
    return 0


def _day(when: datetime, today: date) -> str:
    days = (today - when.date()).days
    if days == 0:
        return f"today at {when:%H:%M},"
    return "yesterday" if days == 1 else f"on {when.day} {when:%B %Y},"


def _is_students(namespace: Mapping[str, Any]) -> bool:
    """Whether these are the variables of a notebook or script that a student runs, and not a test or a grader."""
    main = sys.modules.get("__main__")
    # nbgrader sets the second one when it validates or grades
    return main is not None and vars(main) is namespace and "NBGRADER_EXECUTION" not in os.environ


def _now() -> str:
    return datetime.now().isoformat(timespec="seconds")


def _record(tensors: Collection[str]) -> tuple[Record, list[Record]]:
    """The record of the exercise with these tensors, and those of other exercises."""
    names = sorted(tensors)
    records = _read()
    others = [record for record in records if record["tensors"] != names]
    same = [record for record in records if record["tensors"] == names]
    return same[0] if same else {"tensors": names, "right": {}, "asked": {}}, others


def _read() -> list[Record]:
    """The records of the file, the last used first; none if it is not one of ours."""
    records = _data(Path(FILE)).get("exercises", [])
    return [record for record in records if _is_record(record)] if isinstance(records, list) else []


def _data(path: Path) -> dict[str, Any]:
    """What is in a file; nothing if it is not one of ours."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.stat().st_size <= _LARGEST:
            data = json.loads(path.read_text(encoding="utf-8"))
            return dict(data) if data["schema"] == SCHEMA else {}
    return {}


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and isinstance(record.get("tensors"), list)
        and isinstance(record.get("right"), dict)
        and isinstance(record.get("asked"), dict)
    )


def _write(record: Record, others: list[Record]) -> None:
    record["when"] = _now()
    path = Path(FILE)
    _replace(path, {**_data(path), "schema": SCHEMA, "exercises": [record, *others][:_EXERCISES]})


def _replace(path: Path, data: Mapping[str, Any]) -> None:
    """Replace the file in one step: who reads it never finds half of it."""
    temporary = path.with_name(f"{FILE}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(data), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
