"""The commands: one file each, and `main.py`, which picks one and turns errors into exit codes."""
