"""The catalogue: configurations, their variants and stacks, read from TOML."""
