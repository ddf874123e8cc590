"""Which devices there are, by whose word, and when they are looked at."""
