"""Servers behind a proxy beside the same servers past it: what clients lose, and what it costs."""
