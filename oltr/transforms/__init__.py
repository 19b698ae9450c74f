"""Transforms: how stored images become a network input."""
