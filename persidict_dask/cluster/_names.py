"""What a cluster calls our things."""

NAME = "persidict"
"""Of the plugins of workers and scheduler, and of the events by which the one tells the other."""
