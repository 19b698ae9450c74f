"""Backbones and classifiers: each part is one file; pair.py joins them."""
