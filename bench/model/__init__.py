"""What people write and what is recorded: plans, loads, cells, requirements; constants and rules, once."""
