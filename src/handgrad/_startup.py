"""Imported before anything else: leaves out an import that costs more than it brings.

jsonschema, which nbformat imports, looks for a package that checks one format of texts. No notebook has such a text,
and the package takes as long to import as torch.
"""

import sys

__all__: list[str] = []

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # this is how a module is said not to be there
