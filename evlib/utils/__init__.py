"""Helpers that every package may use and that know nothing of frames: errors, files, paths, progress."""
