"""Checkpoints and logits of other programs, read into this suite and written for them."""
