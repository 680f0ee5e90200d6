"""Pages and figures: formats records, computes nothing."""
