"""Measurements and metrics on label maps; no network, no drawing."""
