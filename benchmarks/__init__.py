"""What is measured, how, and the last results: `python -m benchmarks`."""
