"""Imported first: skips slow imports that handgrad does not need.

* nbformat imports jsonschema, which imports rfc3987_syntax, if it is installed, to validate one string format that no
  notebook has. Without it ``python -c "import nbformat"`` takes 0.4 s instead of 2.6 s.
* nbgrader imports its extensions of the Jupyter server, and with them all its commands. Without them
  ``python -c "import nbgrader.api"`` takes 0.5 s instead of 1.0 s. They can still be imported afterwards.
"""

import importlib
import sys
import types
from contextlib import suppress
from typing import Any

__all__: list[str] = []

_EXTENSIONS = ("assignment_list", "course_list", "validate_assignment", "formgrader")
_LOAD = "load_jupyter_server_extension"
"""The function of each extension that nbgrader imports, for the server to call."""


def _stand_in(name: str) -> types.ModuleType:
    """A module whose only function calls that of the module ``name``, which is imported then."""

    def load(server: Any) -> None:
        getattr(importlib.import_module(name), _LOAD)(server)

    module = types.ModuleType(name)
    setattr(module, _LOAD, load)
    return module


def _import_nbgrader() -> None:
    """Import nbgrader without its extensions of the server, if it is installed and was not imported before."""
    if "nbgrader" in sys.modules:
        return
    names = [f"nbgrader.server_extensions.{extension}" for extension in _EXTENSIONS]
    sys.modules.update({name: _stand_in(name) for name in names})
    with suppress(ImportError):
        importlib.import_module("nbgrader")
    for name in names:
        del sys.modules[name]


sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # None makes the import fail
_import_nbgrader()
