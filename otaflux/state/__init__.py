"""What lies in `DATA_DIR` and is told from memory: records, firmware files, and their start."""
