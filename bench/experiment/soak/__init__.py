"""A soak: the load of hours or days on servers that are all alive, recorded in bounded memory and disk."""
