"""Plots and pictures. They may use frames, tables and networks, but no readers and no data sets."""
