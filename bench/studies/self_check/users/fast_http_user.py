"""GET of a small text by Locust's FastHttpUser, the answer checked."""

from locust import FastHttpUser, constant, task


class Fast(FastHttpUser):
    """geventhttpclient in a greenlet of its own."""

    wait_time = constant(0)

    @task
    def index(self) -> None:
        """Ask and check."""
        with self.client.get("/index", catch_response=True) as response:
            if response.text != "Hello, world!":
                response.failure("wrong body")
