"""Runs the backend on one machine: local stack, provider simulator, demo and benchmarks."""
