"""Settings of the process that torch needs before it is imported; measured, see docs/decisions.md."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4


def tune_for_torch() -> None:
    """Keep freed memory in the process, and let waiting threads sleep.

    glibc gives every large tensor back to the system and takes it again with page faults, which costs training a
    third to a half of its time. OpenMP's spinning collapses when a second process is busy.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, -1)
