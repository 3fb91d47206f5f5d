"""The benchmark of an old answer, replayed, and an account of what it really measured."""
