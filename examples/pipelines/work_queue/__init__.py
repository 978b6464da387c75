"""Words of many files, counted by a pool of processes of which some are killed at their work."""
