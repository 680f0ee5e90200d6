"""Random changes of minibatches: what a slice might have looked like, with its labels."""
