"""How a command ends: in one line and an exit code.

Errors are one line on standard error: exit code 2 for a command that cannot be right as it stands, 1 for an
input or output that cannot be read, used or written, 130 for an interruption, 128 and its number for another signal.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from groundglass import __version__
from groundglass.errors import GroundglassError, OtherProcessError


class StoppedError(KeyboardInterrupt):
    """Somebody ended the process by a signal: it cleans up as after an interruption."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def heed_signals() -> None:
    """Let a request to end (and a terminal that closes, unless nohup says otherwise) leave nothing half-written."""

    def stop(number: int, _: object) -> None:
        raise StoppedError(number)

    if threading.current_thread() is not threading.main_thread():
        return  # only there can it be said
    for name in ("SIGTERM", "SIGHUP"):  # not every system has both
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)


@contextmanager
def ending() -> Iterator[None]:
    """Every way a command can end is one line and an exit code, never a traceback."""
    try:
        yield
        sys.stdout.flush()
    except OtherProcessError:
        time.sleep(0.5)  # launchers end all processes when one ends: let the other have its line out first
        raise SystemExit(1) from None
    except BrokenPipeError:  # whoever read the output has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except KeyboardInterrupt as stop:
        _end("Interrupted; what was not finished was not written.", getattr(stop, "exit_code", 130))
    except Exception as error:
        _end(*in_a_line(error))


@contextmanager
def computing() -> Iterator[None]:
    """The same of a command that computes with torch, which is imported here and not before."""
    with ending():
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
        yield


def in_a_line(error: Exception) -> tuple[str, int]:
    """An error in a line, and the exit code that goes with it."""
    if isinstance(error, GroundglassError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch's is a RuntimeError
        return "Out of memory. Expected room for the whole scan. Close other programs or use a larger machine.", 1
    if isinstance(error, OSError) and error.errno:
        reason = os.strerror(error.errno)  # the error's own words hold a path
        return f"The system refused: {reason}. Expected a disk and a terminal that work. Check them and try again.", 1
    # a fault of ours: its message may hold a path or header text, so it is not shown
    place = _last_place_of_ours(error)
    return f"A fault in groundglass {__version__} ({type(error).__name__} in {place}). Please report it.", 1


def _last_place_of_ours(error: BaseException) -> str:
    place, trace = "an unknown place", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("groundglass"):
            place = f"{module}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _end(message: str, exit_code: int) -> None:
    with suppress(OSError):  # nobody can be told
        sys.stderr.write(f"groundglass: {message}\n")
        sys.stderr.flush()
    raise SystemExit(exit_code)
