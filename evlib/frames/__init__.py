"""Renders parts of any modality as uint8 frames (64, 64, 3), and reads boxes back; independent of any data set."""
