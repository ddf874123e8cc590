"""Builds the parts from the settings, binds them to each other, and owns their lifetimes."""
