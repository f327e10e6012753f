"""Python files that were notebooks."""

import pytest

from handgrad.notebook.reading import parse_script
from helpers.inputs import named

COLAB = "# Commented out IPython magic to ensure Python compatibility.\n"


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
    """Cells begin at ``# In[3]:``, also if they were never run; the texts below them are comments."""
    text = (
        "#!/usr/bin/env python\n# coding: utf-8\n\n# In[12]:\n\n\na = 1\n# of a\n\n\n# ## Title\n\n# In[ ]:\n\nb = 2\n"
    )
    assert _cells(text) == [
        ("code", "#!/usr/bin/env python\n# coding: utf-8"),
        ("code", "a = 1\n# of a"),
        ("markdown", "## Title"),
        ("code", "b = 2"),
    ]


def test_plain() -> None:
    """A file without marks is one cell, an empty one none."""
    assert _cells("a = 1\n\nb = 2\n") == [("code", "a = 1\n\nb = 2")]
    assert _cells("\n") == []


def test_ids() -> None:
    """Ids are the numbers of the cells, and nbgrader's metadata is read from jupytext's options."""
    text = '# %%\na = 1\n# %% tags=["x"] nbgrader={"grade_id": "da", "solution": true}\nda = 1\n# %% nbgrader={\nb = 1'
    notebook = parse_script(text)
    assert [cell.id for cell in notebook.cells] == ["cell-1", "cell-2", "cell-3"]
    assert [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells] == [None, "da", None]


MARKED = {
    "VS Code": "#%%\na = 1\n#%% [markdown]\n# Text\n#%%\nb = 2",
    "PyCharm": "#%%\na = 1\n#%% md\nText\n#%%\nb = 2",
    "Hydrogen": "# %%\na = 1\n# %% markdown\n# Text\n# %%\nb = 2",
    "Kaggle": '# %% [code] {"x": 1}\na = 1\n# %% [markdown] {"y": 2}\n# Text\n# %% [code]\nb = 2',
    "quoted": '# %%\na = 1\n# %% [markdown]\n"""\nText\n"""\n# %%\nb = 2',
    "IPython": "# <codecell>\na = 1\n# <markdowncell>\n# Text\n# <codecell>\nb = 2",
    "light": '# + tags=["x"]\na = 1\n# + [markdown]\n# Text\n# +\nb = 2\n# -',
    "Colab": 'a = 1\n\n"""Text"""\n\nb = 2',
    "Databricks": "# Databricks notebook source\na = 1\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC Text\n\n"
    "# COMMAND ----------\n\n# DBTITLE 1,Title\nb = 2",
    "CRLF": "# %%\r\na = 1\r\n# %% [markdown]\r\n# Text\r\n# %%\r\nb = 2\r\n",
    "CR": "# %%\ra = 1\r# %% [markdown]\r# Text\r# %%\rb = 2\r",
}


def test_marks() -> None:
    """Every tool marks its cells in its own way; they mean the same."""
    for name, text in MARKED.items():
        with named(name):
            assert _cells(text) == [("code", "a = 1"), ("markdown", "Text"), ("code", "b = 2")]


def test_mark_in_a_string() -> None:
    """A mark inside a string is text."""
    assert _cells('# %%\na = """\n# %%\n"""\n# %%\nb = 2') == [("code", 'a = """\n# %%\n"""'), ("code", "b = 2")]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"], ids=ascii)
def test_lines(sign: str) -> None:
    """What ends a line in other places, but not in Python, does not end one here."""
    assert _cells(f"# %%\na = 1  # one{sign}two\nb = 2") == [("code", f"a = 1  # one{sign}two\nb = 2")]


MAGICS = {
    "# %matplotlib inline": "%matplotlib inline",
    "#%matplotlib inline": "%matplotlib inline",
    "# !pip install torch": "!pip install torch",
    "# files = !ls": "files = !ls",
    "# %time da = 1": "%time da = 1",
    "# %timeit -n 10 da = 1": "%timeit -n 10 da = 1",
    "if a:\n    # !ls\n    b = 1": "if a:\n    !ls\n    b = 1",
}
COMMENTS = (
    *("# % of the batch", "# %d of them", "# %s", "# %", "# %unknown magic", "# 50 %time", "# %time goes by"),
    *("# ! careful", "# !important: keepdim", "# !!!", "# !=", '"""\n# !ls\n"""', "f(1,\n# !ls\n2)"),
    *("# # %matplotlib inline", "# a != b", "b = 1  # !ls"),
)


def test_magics() -> None:
    """A magic in a comment is one again; a comment that only looks like one stays."""
    for comment, magic in MAGICS.items():
        with named(comment):
            assert _cells(f"# %%\na = 1\n{comment}\nc = 3") == [("code", f"a = 1\n{magic}\nc = 3")]
    for comment in COMMENTS:
        with named(comment):
            assert _cells(f"# %%\na = 1\n{comment}\nc = 3") == [("code", f"a = 1\n{comment}\nc = 3")]


CELL_MAGICS = {
    "percent": "# %%\n# %%time\nda = 1\n# %%\nb = 2",
    "percent, not commented out": "# %%\n%%time\nda = 1\n# %%\nb = 2",
    "nbconvert": "# In[1]:\n\n\nget_ipython().run_cell_magic('time', '', 'da = 1\\n')\n\n\n# In[2]:\n\n\nb = 2",
    "old nbconvert": "# In[1]:\n\nget_ipython().run_cell_magic(u'time', u'', u'da = 1')\n\n# In[2]:\n\nb = 2",
    "Colab": f"{COLAB}# %%time\n# da = 1\n\nb = 2",
    "Databricks": "# Databricks notebook source\n# MAGIC %%time\n# MAGIC da = 1\n\n# COMMAND ----------\n\nb = 2",
}


def test_cell_magics() -> None:
    """An answer in a cell with a magic is code again, however the front end has hidden it."""
    for name, text in CELL_MAGICS.items():
        with named(name):
            assert _cells(text) == [("code", "%%time\nda = 1"), ("code", "b = 2")]


def test_line_magics_of_nbconvert() -> None:
    """A line magic may hold an answer."""
    text = "# In[1]:\n\na = 1\nget_ipython().run_line_magic('time', 'da = 1')\nget_ipython().magic('matplotlib inline')"
    assert _cells(text) == [("code", "a = 1\n%time da = 1\n%matplotlib inline")]


def test_colab() -> None:
    """Colab comments out a whole cell with its empty lines, or only its line magics."""
    text = f"{COLAB}import torch\n# %matplotlib inline\n\n{COLAB}# %%time\n# # of a\n# \n# a = 1\n\n# b\nb = 2"
    assert _cells(text) == [
        ("code", "import torch\n%matplotlib inline"),
        ("code", "%%time\n# of a\n\na = 1"),
        ("code", "# b\nb = 2"),
    ]


def test_other_languages() -> None:
    """Cells in other languages, and cells that are not run, are no Python."""
    text = '# %% language="bash"\n# ls\n# %% active="ipynb"\n# a = 1\n# %% active="py"\nb = 2'
    assert _cells(text) == [("code", "%%bash\nls"), ("code", "a = 1"), ("raw", "b = 2")]
    cells = "# MAGIC %sql\n# MAGIC select 1\n\n# COMMAND ----------\n\n# MAGIC %python\n# MAGIC a = 1"
    text = f"# Databricks notebook source\n{cells}"
    assert _cells(text) == [("raw", "select 1"), ("code", "a = 1")]


def test_not_python() -> None:
    """In a file without marks, a part that is not Python does not spoil the others."""
    text = "da = 1\n\ndb = = 2\n\nif a:\n    b\n\nelse:\n    c\n\n%%bash\nls 'x\n"
    sources = ["da = 1", "db = = 2", "if a:\n    b\n\nelse:\n    c", "%%bash\nls 'x"]
    assert _cells(text) == [("code", source) for source in sources]
