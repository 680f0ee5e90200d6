"""Files to scans, label maps to files."""
