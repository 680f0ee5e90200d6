"""From a scan to a label map."""
