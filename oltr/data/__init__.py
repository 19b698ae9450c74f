"""Data sets: each part is one file; split.py holds the types they are made of."""
