"""What every room may use, and what knows nothing of frames: errors, files, paths, progress."""
