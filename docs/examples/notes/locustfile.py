r"""Readers of notes, and now and then a writer.

To measure them: `export NOTES_TOKEN=secret`, then

make bench APP=notes.app:create_app APP_DIR=docs/examples/notes ENVIRONMENT=NOTES_TOKEN \
    REQUIREMENTS=docs/examples/notes/requirements.txt SCENARIO=docs/examples/notes/locustfile.py
"""

import os

from locust import HttpUser, constant, task

AUTHORIZATION = {"Authorization": f"Bearer {os.environ['NOTES_TOKEN']}"}


class Reader(HttpUser):
    """Reads on and on; one task in ten writes."""

    wait_time = constant(0)

    @task(6)
    def read(self) -> None:
        """A short note."""
        self.client.get("/notes/welcome")

    @task(3)
    def read_list(self) -> None:
        """A note that must look as it should."""
        with self.client.get("/notes/list", catch_response=True) as response:
            if "<li>three</li>" not in response.text:
                response.failure("the list is not whole")

    @task
    def write(self) -> None:
        """A new note, which needs the token."""
        self.client.post("/notes/", json={"name": "new", "text": "# New"}, headers=AUTHORIZATION)
