"""Frozen values: what was parsed at the edge, and is believed from there on."""
