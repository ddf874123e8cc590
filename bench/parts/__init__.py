"""What the benchmarks share: the programs that they compare, and how they measure."""
