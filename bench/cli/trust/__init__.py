"""The commands that say how far to trust the suite."""
