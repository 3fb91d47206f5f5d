"""What starts and stops users: Locust's options and events, scenarios, cells, worker processes."""
