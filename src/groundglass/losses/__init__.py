"""What a network's answer costs: one equation a function, on label sets."""
