"""The report's page: what it is made of, and how it becomes one HTML file."""
