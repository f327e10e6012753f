"""Imported first: skips a slow import that handgrad does not need.

nbformat imports jsonschema, which imports rfc3987_syntax, if it is installed, to validate one string format that no
notebook has. Without it ``python -c "import nbformat"`` takes 0.4 s instead of 2.6 s.
"""

import sys

__all__: list[str] = []

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # None makes the import fail
