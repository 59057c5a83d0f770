"""From generated frames to words and boxes, and from those to scores."""
