"""What charts have in common: how they look, what recycling is called, the generator's ceiling."""
