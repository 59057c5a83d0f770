"""From a store to trained weights: loss, optimizers, the loop, checkpoints. Frames only: no task, no word, no score."""
