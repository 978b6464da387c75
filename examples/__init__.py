"""Runnable examples; each is started with `python -m`."""
