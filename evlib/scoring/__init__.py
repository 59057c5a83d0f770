"""Generated frames -> words and boxes -> numbers."""
