"""Threshold rules: from which score on an image is rejected as unknown."""
