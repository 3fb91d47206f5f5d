"""The launcher of containers: the services of docker-compose.yml, by Docker's own command line."""
