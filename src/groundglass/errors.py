"""The exceptions a caller can meet; each is one line: what was found, what was expected, what to do.

GroundglassError            exit code 1
|-- UsageError              exit code 2: an option or a path that cannot be right, or a choice left open
|-- ReadError               a file or folder that cannot be read as what it claims to be
|-- ScanError               read, but no scan that can be worked on (other modality, tilted, no finite voxel)
|-- LabelError              label sets, codes or label maps that break their rules
|-- TrainingError           training that cannot go on
|   |-- LostProcessError    another process of the run is gone
|   `-- OtherProcessError   another process of the run failed, and tells why itself
`-- WriteError              an output that could not be written
"""

from __future__ import annotations

from typing import Any


class GroundglassError(Exception):
    """Base of every error that groundglass raises on purpose.

    Args:
        found: what is the case, a sentence with its full stop.
        expected: what should be the case, completes "Expected ...".
        remedy: what the reader can do, a sentence with its full stop.
    """

    exit_code = 1

    def __init__(self, found: str, *, expected: str, remedy: str) -> None:
        super().__init__(f"{found} Expected {expected}. {remedy}")
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """It passes between processes; exceptions with named arguments do not by themselves."""
        return _again, (type(self), self.found, self.expected, self.remedy)


class UsageError(GroundglassError):
    """The command or call cannot be right as it stands, or leaves a choice open."""

    exit_code = 2


class ReadError(GroundglassError):
    """A file or folder cannot be read as what it claims to be."""


class ScanError(GroundglassError):
    """The input was read, but it is no scan that can be worked on."""


class LabelError(GroundglassError):
    """Label sets, codes or label maps break their rules."""


class TrainingError(GroundglassError):
    """Training cannot go on."""


class LostProcessError(TrainingError):
    """Another process of the run is gone, without a word."""

    def __init__(self) -> None:
        super().__init__(
            "Another process of this run has ended or cannot be reached.",
            expected="all processes until the end",
            remedy="Look for its last words (out of memory?) and start the run again: it goes on.",
        )


class OtherProcessError(TrainingError):
    """Another process of the run failed. It tells why, so this one is to end without a word."""

    def __init__(self) -> None:
        super().__init__(
            "Another process of this run failed.", expected="none to", remedy="See what the other one says."
        )


class WriteError(GroundglassError):
    """An output could not be written; nothing half-written was left in its place."""


def _again(kind: type[GroundglassError], found: str, expected: str, remedy: str) -> GroundglassError:
    error = kind.__new__(kind)
    GroundglassError.__init__(error, found, expected=expected, remedy=remedy)
    return error
