"""The database of a run: the one that is given, a private one, or that of the containers."""
