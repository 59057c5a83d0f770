"""Parts of any modality become uint8 frames (64, 64, 3), and boxes are read back; no data set is known here."""
