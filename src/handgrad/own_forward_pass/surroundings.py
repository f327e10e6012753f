"""What a notebook expects of its machine and does not find here: packages, files, the network, the keyboard."""

import builtins
import importlib.abc
import importlib.machinery
import io
import os
import sys
import types
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import torch

__all__ = ["Surroundings"]

# fmt: off
STAND_INS = frozenset((
    "tqdm", "google", "wandb", "seaborn", "plotly", "graphviz", "ipywidgets", "torchviz", "torchinfo",
    "torchsummary", "tensorboard", "tensorboardX", "rich", "termcolor", "dotenv", "matplotlib", "requests",
))
# fmt: on
"""Packages for plots, progress and drives: one that is not installed is replaced by an object that accepts all."""
NAMES = "names"
"""A missing text file, or a URL, with this in its name is the lecture's list of names."""


class Surroundings(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what the machine lacks, while a notebook runs.

    Attributes
    ----------
    files
        The files and addresses that the notebook asked for and that are not here.
    """

    def __init__(self, names: bytes) -> None:
        self._names = names
        self.files: list[str] = []

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace ``open``, ``input`` and the ways to download."""
        opened = self._opener(builtins.open)
        replaced = [
            (builtins, {"open": opened, "input": lambda *_: ""}),
            (io, {"open": opened}),
            (urllib.request, {"urlopen": self._download, "urlretrieve": self._retrieve}),
            (torch, {"compile": _unchanged}),
            (torch.jit, {"script": _unchanged}),
            # modules beside the notebook are found first
            (sys, {"path": [str(Path.cwd()), *sys.path]}),
        ]
        with ExitStack() as stack:
            sys.meta_path.append(self)
            stack.callback(sys.meta_path.remove, self)
            for module, names in replaced:
                stack.enter_context(patch.multiple(module, **names))
            with suppress(ImportError):
                stack.enter_context(patch("requests.get", self._download))
            yield

    def _opener(self, opened: Any) -> Any:
        def open_(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            try:
                return opened(file, mode, *args, **kwargs)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                if not isinstance(file, (str, os.PathLike)):
                    raise
                # packages look for files of their own that need not be there
                is_own = sys._getframe(1).f_code.co_filename.startswith("<cell ")
                return self._in_place_of(os.fspath(file), mode, is_own=is_own)

        return open_

    def _in_place_of(self, path: str, mode: str, *, is_own: bool) -> Any:
        """What stands in for a file that cannot be opened."""
        if "r" not in mode or "+" in mode:
            return io.BytesIO() if "b" in mode else io.StringIO()
        data = self._content(path, is_own=is_own)
        return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode())

    def _content(self, address: str, *, is_own: bool = True) -> bytes:
        """The bytes at a path or an address: the list of names, or a file that is here under that name."""
        name = Path(address.partition("?")[0]).name
        if NAMES in name.lower() and name.lower().endswith(".txt"):
            return self._names
        if name and (beside := Path(name)).is_file():
            return beside.read_bytes()
        if is_own:
            self.files.append(address)
        raise FileNotFoundError(2, "No such file or directory", address)

    def _download(self, url: Any, *_: Any, **__: Any) -> "_Response":
        return _Response(self._content(getattr(url, "full_url", str(url))))

    def _retrieve(self, url: str, filename: str | None = None, *_: Any, **__: Any) -> tuple[str, None]:
        data = self._content(url)
        path = Path(filename or Path(url).name)
        path.write_bytes(data)
        return str(path), None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of a stand-in; this finder is the last one, so nothing else has the package."""
        is_known = name.partition(".")[0] in STAND_INS
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if is_known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        """An object that accepts every use."""
        if spec.name.startswith("requests"):
            module: Any = types.ModuleType(spec.name)
            module.get = self._download
            return module
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__all__ = [], spec, []
        module.tqdm = module.trange = _bare_range
        return module

    def exec_module(self, module: Any) -> None:
        """Nothing has to be run."""


def _bare_range(items: Any = (), *_: Any, **__: Any) -> Any:
    """A progress bar without the bar."""
    return range(items) if isinstance(items, int) else items


def _unchanged(model: Any = None, *_: Any, **__: Any) -> Any:
    """``torch.compile`` and ``torch.jit.script``: the function as it is written, also as a decorator with options."""
    return model if model is not None else lambda function: function


class _Response(io.BytesIO):
    """What a download gives, for ``requests`` and ``urllib`` alike."""

    status_code = 200
    ok = True

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.content, self.text = content, content.decode(errors="replace")

    def raise_for_status(self) -> None:
        """Nothing went wrong."""

    def iter_content(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """All of it, in one piece."""
        yield self.content

    def iter_lines(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Line by line."""
        return iter(self.content.splitlines())
