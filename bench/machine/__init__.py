"""This machine: its CPUs, its state, and processes that cannot outlive the suite."""
