"""The disk, and files that are either the old or the new one after a power cut."""
