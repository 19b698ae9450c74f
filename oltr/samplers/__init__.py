"""Samplers: the order in which training images are seen."""
