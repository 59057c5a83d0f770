"""Official files -> store -> batches."""
