"""Benchmark suite for open long-tailed recognition. Importing this imports nothing else."""

__version__ = "0.1.0"
