"""Encoders: what sees the image, at halving sizes; one family a file."""
