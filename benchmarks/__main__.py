"""``make bench``: all benchmarks, or the one that is named: ``python -m benchmarks training``."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("segmenting", "training")


def main() -> None:
    """Run what is asked for, one table after the other."""
    asked = sys.argv[1:] or NAMES
    if not set(asked) <= set(NAMES):
        raise SystemExit(f"There are {' and '.join(NAMES)}.")
    for name in asked:
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
