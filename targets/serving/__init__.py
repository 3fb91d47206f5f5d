"""What `targets.serve` is made of: a server started, found ready, metered, deployed and ended."""
