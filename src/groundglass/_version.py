"""The version, in a file without imports so that building needs nothing installed."""

__version__ = "0.1.0"
