"""The loop: batches in, checkpoints out."""
