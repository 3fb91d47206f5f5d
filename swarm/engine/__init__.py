"""The epoll loop which drives the users of one Locust process, and what it records of them."""
