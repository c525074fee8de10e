"""Tiny random checkpoints in the official file formats, to try the `paper` profile without its weights."""
