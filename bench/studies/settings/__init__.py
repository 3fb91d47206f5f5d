"""What settings are worth: whose are tried, and those that are worth it together."""
