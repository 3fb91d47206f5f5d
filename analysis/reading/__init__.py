"""From a run's folder to frames: its files as tables, and a run with all of its cells."""
