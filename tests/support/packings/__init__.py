"""One firmware, packed in every way that people push it, by the programs that they use."""
