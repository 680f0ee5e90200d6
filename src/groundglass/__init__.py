"""Outlines lung infection in chest CT: lung, ground-glass opacity and consolidation."""

from groundglass._version import __version__

__all__ = ["__version__"]
