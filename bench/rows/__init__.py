"""The parts of the table: each module has `rows`, which measures and gives them one by one."""
