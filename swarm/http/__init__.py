"""What is said over connections: requests, responses, connections, cookies."""
