"""Metrics: pure functions from numpy arrays to plain numbers. A value that is not defined is None, never NaN."""
