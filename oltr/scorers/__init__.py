"""Open-set scorers: how unlike any known class a sample looks."""
