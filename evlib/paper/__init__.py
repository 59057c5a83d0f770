"""What the paper says, and what we found."""
