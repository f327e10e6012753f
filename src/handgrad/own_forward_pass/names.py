"""Names of gradients: which tensors a variable may be the gradient of."""

import re
from collections.abc import Iterator

__all__ = ["is_loss_name", "last_part", "tensors_of_gradient"]

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"d(?:L|l|loss|Loss)_?d_?(?P<name>.+)",  # dL_dW, dlossdW
        r"d(?:L|l|loss|Loss)_(?P<name>.+)",  # dL_W
        r"d_?(?P<name>.+)",  # dW, d_W
        r"grad(?:ient)?_?(?:of_)?(?:d_?)?(?P<name>.+)",  # grad_W, gradient_of_W
        r"g_?(?P<name>.+)",  # gW
        r"(?P<name>.+?)_?[gG]rads?(?:ient)?s?",  # W_grad
        r"(?:my|manual|hand|man)_?(?:d|grad)?_?(?P<name>.+)",  # my_dW
        r"(?P<name>.+)_(?:d|bar|hat|delta|adj)",  # W_bar
        r"d_?(?P<name>.+?)_?(?:manual|mine|hand|man|fast|new|own|2)",  # dW_manual
        r"(?:delta|bar|adj)_?(?P<name>.+)",  # delta_W
    )
)


def tensors_of_gradient(variable: str) -> Iterator[str]:
    """The names of the tensors that ``variable`` may be the gradient of, the most usual first.

    Of ``layer.dW`` and ``grads['dW']`` only the last part is read: ``layer.W``, and ``grads['W']`` or ``W``.
    """
    head, last, tail = _parts(variable)
    for pattern in _PATTERNS:
        if found := pattern.fullmatch(last):
            yield f"{head}{found['name']}{tail}"
            if "[" in head:
                yield found["name"]
    if re.match(r"(?i)d?grads?|d[A-Z_]?", head) and "[" in head:
        yield last


def _parts(variable: str) -> tuple[str, str, str]:
    """What stands before the name that says which gradient it is, the name itself, and what stands after it."""
    if found := re.fullmatch(r"(?P<head>.*\.)(?P<last>\w+)", variable):
        return found["head"], found["last"], ""
    if found := re.fullmatch(r"(?P<head>\w+)\['(?P<last>\w+)'\]", variable):
        return f"{found['head']}['", found["last"], "']"
    if found := re.fullmatch(r"(?P<last>\w+)(?P<tail>\[.+\])", variable):
        return "", found["last"], found["tail"]
    return "", variable, ""


def last_part(name: str) -> str:
    """``W`` of ``layer.W`` and of ``params['W']``; of another name all."""
    return _parts(name)[1]


def is_loss_name(name: str) -> bool:
    """Whether a variable is called as a loss is: ``loss``, ``total_loss``, ``L``."""
    return "loss" in name.lower() or name in ("L", "nll", "cost", "J")
