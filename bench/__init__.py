"""The experiment: a plan becomes cells, and cells become results."""
