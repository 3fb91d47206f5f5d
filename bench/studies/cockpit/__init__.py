"""`bench ui`: Locust's web UI as a cockpit. What is chosen there is served, metered and recorded."""
