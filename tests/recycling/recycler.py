"""A server whose way of replacing workers is known: what the suite says of it can be held against its books.

    python -m tests.recycling.recycler --port 8099 --workers 2 --max-requests 100 --lose-unhandled 2

One process holds all connections and gives each request to a worker, a forked process that handles one at
a time, in turn. So it alone decides which requests are handled by whom, and which are lost: nothing of that
depends on time. Standard library only. It obeys `targets.serve`: workers announce themselves, `/whoami`
is answered and counts for nothing, requests with an `x-request-id` are logged as `targets/inside/settings.py`
logs them. What it does to workers and requests it prints as lines of JSON, its books:

    {"book": "ended", "pid": 7, "served": 100, "time": 1790000000.0}
    {"book": "lost", "id": "0-101", "handled": "no", "pid": null, "time": 1790000000.0}
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Coroutine, Iterator

from tests.recycling.worker import Alone, DiedError, Forked, Worker

BODY = b"Hello, world!"
AGAIN_S = 0.02  # until another worker is started for one that died while it started
OK, FAILED = "200 OK", "500 Internal Server Error"


def book(event: str, **facts: object) -> None:
    """Print one line of the books."""
    print(json.dumps({"book": event, **facts, "time": time.time()}), flush=True)


def read_books(log: str) -> list[dict[str, object]]:
    """The lines of the books in a server's log."""
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"book": ')]


class Server:
    """Holds the connections, gives requests to workers, and loses some, as its options say."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.lives = lives(options)
        self.free: asyncio.Queue[Worker] = asyncio.Queue()
        self.workers: dict[int, Worker] = {}
        self.done = asyncio.Event()
        self.unhandled = 0  # requests still to be lost before any worker sees them
        self.total = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.done.set)
        loop.add_signal_handler(signal.SIGINT, self.done.set)
        loop.add_signal_handler(signal.SIGCHLD, self.reap)
        server = await asyncio.start_server(
            self.connection, self.options.host, self.options.port, backlog=self.options.backlog
        )
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        for _ in range(self.options.workers):
            await self.start()
        await self.done.wait()
        server.close()
        for worker in self.workers.values():
            worker.end()

    async def start(self) -> None:
        life = next(self.lives)
        try:
            worker = Alone(life) if self.options.alone else await self.fork(life)
        except DiedError:
            await asyncio.sleep(AGAIN_S)
            self.background(self.start())
            return
        self.workers[worker.pid] = worker
        self.free.put_nowait(worker)

    async def fork(self, life: int | None) -> Forked:
        return await Forked(life, self.options.fork_each, self.options.stillborn).connect()

    def reap(self) -> None:
        """Take note of dead workers; one that nobody sent away is replaced, unless told otherwise."""
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                if self.workers.pop(pid, None) is None or self.done.is_set():
                    continue
                if self.options.when_killed == "replace":
                    self.background(self.start())
                elif self.options.when_killed == "end":
                    self.done.set()

    def background(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def replace(self, old: Worker) -> None:
        """End a worker that has served its life; its successor comes first, unless there is to be a stall."""
        if self.options.then == "exit":
            self.done.set()
        elif self.options.stall_s:
            self.end(old)
            await asyncio.sleep(self.options.stall_s)
            await self.start()
        else:
            await self.start()
            if self.options.then != "keep":
                self.end(old)

    def end(self, worker: Worker) -> None:
        del self.workers[worker.pid]
        worker.end()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one client, one after the other, until it goes or one is lost."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                answer = await self.answer(head)
                if answer is None:
                    break
                writer.write(answer)
                if "\r\nconnection: close\r\n" in head:
                    await writer.drain()
                    break
        writer.close()

    async def answer(self, head: str) -> bytes | None:
        """The response, None if it is to be lost."""
        if head.startswith("get /whoami "):
            return await self.whoami()
        request = next((line[14:] for line in head.split("\r\n") if line.startswith("x-request-id: ")), "")
        if self.unhandled:
            self.unhandled -= 1
            book("lost", id=request, handled="no", pid=None)
            return None
        worker = await self.take()
        fate = self.fate(worker)
        try:
            pid = int(await worker.ask(f"{'begin' if fate == 'started' else 'handle'} {request}"))
        except DiedError:
            book("lost", id=request, handled=None, pid=worker.pid)
            return None
        self.count(worker, fate)
        if fate != "answered":
            book("lost", id=request, handled=fate, pid=pid)
            return None
        spent = self.options.then == "fail" and self.options.max_requests
        return response(FAILED if spent and self.total > self.options.max_requests else OK, BODY)

    async def whoami(self) -> bytes:
        worker = await self.take()
        answer = await worker.ask("whoami")
        self.free.put_nowait(worker)
        return response(OK, answer.strip().encode())

    async def take(self) -> Worker:
        """The living worker that has waited longest for something to do."""
        while True:
            worker = await self.free.get()
            if worker.pid in self.workers:
                return worker

    def fate(self, worker: Worker) -> str:
        """What is to become of the next request of a worker: the last ones of its life may be lost."""
        if worker.left is None or worker.left > self.options.lose_started + self.options.lose_finished:
            return "answered"
        return "finished" if worker.left > self.options.lose_started else "started"

    def count(self, worker: Worker, fate: str) -> None:
        """Take a request off the worker's life, and let it take the next one or be replaced."""
        self.total += 1
        worker.served += fate != "started"
        if worker.left is not None:
            worker.left -= 1
        if worker.left == 0:
            book("ended", pid=worker.pid, served=worker.served)
            self.unhandled += self.options.lose_unhandled
            self.background(self.replace(worker))
        else:
            self.free.put_nowait(worker)


def lives(options: argparse.Namespace) -> Iterator[int | None]:
    """How many requests each worker handles, one worker after the other; None: it is never replaced."""
    random_part = random.Random(1)
    while True:
        if options.life:
            yield options.life
        elif options.max_requests is None or options.then in ("ignore", "fail"):
            yield None
        else:
            yield int(options.max_requests * options.life_share) + random_part.randint(
                0, options.max_requests_jitter
            )


def response(status: str, body: bytes) -> bytes:
    """A whole response."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """Serve until told to end; the port is printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 (the default) picks a free one")
    add("--workers", type=int, default=1)
    add("--backlog", type=int, default=4096)
    add("--max-requests", type=int, metavar="N", help="replace each worker after N requests")
    add("--max-requests-jitter", type=int, default=0, metavar="J", help="... and up to J more")
    add("--life-share", type=float, default=1.0, help="... or rather after this share of N")
    add("--life", type=int, metavar="K", help="replace each worker after K requests, with or without N")
    add(
        "--then",
        choices=("replace", "ignore", "keep", "fail", "exit"),
        default="replace",
        help="at N: replace the worker; do nothing; keep the old one beside the new; answer 500; end",
    )
    add("--stall-s", type=float, default=0.0, help="nobody serves between a worker's end and its successor")
    add("--lose-unhandled", type=int, default=0, metavar="K", help="no worker sees the next K requests")
    add("--lose-started", type=int, default=0, metavar="K", help="the last K begin and are not finished")
    add("--lose-finished", type=int, default=0, metavar="K", help="the K before are finished, not answered")
    add("--fork-each", action="store_true", help="another process handles each request")
    add("--stillborn", action="store_true", help="workers say that they have started, and end")
    add("--alone", action="store_true", help="one process is all there is")
    add("--when-killed", choices=("replace", "nothing", "end"), default="replace")
    asyncio.run(Server(parser.parse_args()).run())


if __name__ == "__main__":
    main()
