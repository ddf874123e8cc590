"""Where releases come from: a remote registry or the embedded folder, behind the same methods."""
