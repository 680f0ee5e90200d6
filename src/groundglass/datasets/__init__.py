"""Data sets, a publisher a file: ``read(root)`` gives its `Cases`, and there the publisher's quirks end."""
