"""Losses: a pure function and a thin shell a file."""
