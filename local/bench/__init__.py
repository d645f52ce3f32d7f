"""Benchmarks of the build: `make bench`. The ratios count; milliseconds depend on the machine."""
