"""The first lines of the warm process: it enters its namespaces, and only then imports torch.

Started by :class:`.warm_process.WarmProcess` as ``python -I -m handgrad.sandbox.zygote_main FD MODULE...``. What
stays outside the namespaces does nothing but wait, and takes as little memory as Python itself.
"""

import sys

from handgrad.sandbox.isolation.layers import Isolation

__all__ = ["main"]


def main() -> None:
    """Serve the control socket whose descriptor is the first argument; the others are modules to import."""
    isolation = Isolation()
    isolation.enter()
    from handgrad.sandbox import zygote  # noqa: PLC0415 - it imports torch

    zygote.get_ready(sys.argv[2:])
    zygote.serve(int(sys.argv[1]), isolation)


if __name__ == "__main__":
    main()
