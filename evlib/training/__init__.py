"""From a store to trained weights: loss, optimizers, loop, checkpoints. Sees frames only: no tasks, words or scores."""
