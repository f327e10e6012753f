"""What had to be repaired when a notebook's file was read, kept in the notebook until its report is written."""

from nbformat import NotebookNode

__all__ = ["KEY", "add_note", "note_of"]

KEY = "handgrad_note"
"""Key of the notebook's metadata; what a file has there is not read."""


def add_note(notebook: NotebookNode, text: str) -> None:
    """Add a sentence to the note about the ``notebook``."""
    notebook.metadata[KEY] = f"{note_of(notebook)} {text}".strip()


def note_of(notebook: NotebookNode) -> str:
    """What had to be repaired, in sentences; empty if nothing had to."""
    return str(notebook.metadata.get(KEY, ""))
