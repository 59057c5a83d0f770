"""What this paper says, and what we found."""
