"""What a rotation can tell and what it cannot: a planted cost, the generator's manner, idle neighbours."""
