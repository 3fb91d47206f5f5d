"""What a soak shows: what grows, how certainly, when it meets a limit, and what recycling does to it."""
