"""Generators on other machines: how they join a master, their clocks, and how they are lost."""
