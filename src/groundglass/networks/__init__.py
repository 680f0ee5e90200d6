"""Networks that give every pixel a logit for each tissue group: one architecture a file."""
