"""What devices ask, and what they get."""
