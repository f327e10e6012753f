"""The main module of a warm process: it enters its namespaces, and only then imports torch.

Started by :class:`.warm_process.StartedProcess` as ``python -I -m handgrad.sandbox.zygote_main FD MODULE...``. The
process that stays outside the namespaces only waits. It has a module of its own because it should need no more
memory than Python itself.
"""

import sys

from handgrad.sandbox.isolation.layers import Isolation

__all__ = ["main"]


def main() -> None:
    """Serve the control socket whose descriptor is the first argument; import the modules named by the others."""
    isolation = Isolation()
    isolation.enter()
    from handgrad.sandbox import zygote  # noqa: PLC0415 - it imports torch

    zygote.get_ready(sys.argv[2:])
    zygote.serve(int(sys.argv[1]), isolation)


if __name__ == "__main__":
    main()
