"""The rules by which Moodle and Canvas read the names in an archive that is sent back, written from their sources."""


def as_moodle(path: str) -> tuple[int, str] | None:
    """The participant and the name of a file, by the rules of Moodle's zip import; None if it ignores it."""
    parts = path.split("/")
    if parts[-1].startswith((".", "~")):
        return None
    while parts:
        info = parts.pop(0).split("_", 4)
        if len(info) >= 4 and info[1].isdigit() and info[2:4] == ["assignsubmission", "file"]:
            return int(info[1]), "/".join([*info[4:], *parts]).lstrip("/")
    return None


def as_canvas(name: str) -> tuple[str, str] | None:
    """The user and the file that was handed in, by the rules of Canvas's re-upload; None if it ignores it."""
    parts = [part for part in name.split("_") if part != "LATE"]
    found = parts[1:3] if parts[0] == "anon" else [part for part in parts if part.isdigit()][:2]
    return (found[0], found[1]) if len(found) == 2 and not parts[-1].startswith("link") else None
