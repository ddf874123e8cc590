"""Which units were heard of: when, how, what each runs, was told, and what came of it."""
