"""How a network learns from labelled and unlabelled slices: one paper a file."""
