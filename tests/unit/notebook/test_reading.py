"""Python files that were notebooks."""

from handgrad.notebook.exports import parse_script


def _cells(text: str) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in parse_script(text).cells]


def test_percent() -> None:
    """Cells begin at ``# %%``; magics, which jupytext writes as comments, are magics again."""
    text = "# ---\n# jupyter: x\n# ---\n\n# %% [markdown]\n# # A title\n\n# %%\na = 1\n\n# !ls\n#%% the last\nb = 2\n"
    assert _cells(text) == [
        ("code", "# ---\n# jupyter: x\n# ---"),
        ("markdown", "# A title"),
        ("code", "a = 1\n\n!ls"),
        ("code", "b = 2"),
    ]


def test_nbconvert() -> None:
    """Cells begin at ``# In[3]:``, also where they were never run."""
    text = "#!/usr/bin/env python\n# coding: utf-8\n\n# In[12]:\n\n\na = 1\n\n\n# In[ ]:\n\n\nb = 2\n"
    assert _cells(text) == [("code", "#!/usr/bin/env python\n# coding: utf-8"), ("code", "a = 1"), ("code", "b = 2")]


def test_plain() -> None:
    """A file without marks is one cell, an empty one none."""
    assert _cells("a = 1\n\nb = 2\n") == [("code", "a = 1\n\nb = 2")]
    assert _cells("\n") == []
