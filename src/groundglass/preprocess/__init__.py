"""Classical steps on scans, NumPy and SciPy only."""
