"""Calls that are refused with a sentence while a notebook is graded."""

import ctypes
import gc
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

__all__ = ["AutogradOff", "Replacements", "refuse_methods", "refusing"]


class AutogradOff(RuntimeError):
    """Autograd is switched off while a notebook is graded."""


def refusing(name: str) -> Callable[..., NoReturn]:
    """A function that raises :class:`AutogradOff`, which says that ``name`` is switched off."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AutogradOff(
            f"{name} is switched off while your notebook is graded: compute the gradient with your own formula."
        )

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    return refuse


class Replacements:
    """Objects of torch's modules that are replaced, first where they belong, at the end wherever they were imported."""

    def __init__(self) -> None:
        self._replaced: dict[int, tuple[Any, Any]] = {}

    def refuse(self, prefix: str, names: Iterable[str], *owners: Any) -> None:
        """Replace each of ``names`` in each of ``owners`` by a function that raises."""
        for name in names:
            self.replace(name, refusing(f"{prefix}.{name}"), *owners)

    def replace(self, name: str, new: Any, *owners: Any) -> None:
        """Replace ``name`` in each of ``owners`` that has it."""
        for owner in owners:
            if hasattr(owner, name):
                original = getattr(owner, name)
                self._replaced[id(original)] = original, new
                setattr(owner, name, new)

    def finish(self) -> None:
        """Replace the same objects in all modules of torch that are imported, and keep none of them."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("torch", "functorch") and isinstance(module, types.ModuleType):
                for key, value in list(vars(module).items()):
                    original, new = self._replaced.get(id(value), (None, None))
                    if new is not None and original is value:
                        setattr(module, key, new)
        self._replaced.clear()


def refuse_methods(prefix: str, kind: type, names: Iterable[str]) -> None:
    """Replace methods of a type, also of one that C has made immutable: whoever finds it can do nothing with it."""
    # behind the read-only view of an immutable type is a dictionary
    (methods,) = gc.get_referents(vars(kind))
    for name in names:
        methods[name] = refusing(f"{prefix}.{name}" if not name.startswith("__") else prefix)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
