"""Statistics that the measuring and the analysis share: pure functions."""
