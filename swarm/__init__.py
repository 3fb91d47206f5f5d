"""Locust made fit for fast servers: the epoll engine, its users, the recorder and the cell session."""
