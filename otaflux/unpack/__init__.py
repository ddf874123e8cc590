"""From an artifact's layers to the one file that devices get; knows no registry and no store."""
