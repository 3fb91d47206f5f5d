"""A server whose behaviour is known exactly, and what arithmetic says must be measured of it."""
