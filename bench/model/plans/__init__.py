"""Plans and their tables: what people write, checked and narrowed."""
