"""Training: the loop, stacks of trials, evaluation and checkpoints."""
