"""A table that only the leader may append to, also when an old leader wakes up and tries."""
