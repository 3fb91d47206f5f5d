"""The database of the app: a pool of connections in each worker, and the tables it asks.

`DATABASE_URL` names a PostgreSQL server: `postgresql://user:password@host:port/database`. The tables have a
schema of their own, `whichworker`, so that nothing else in that database is touched.

    python -m targets.database prepare

makes them where they are missing, empties `orders`, and prints which server it is, such as `PostgreSQL
15.8`, or fails with status 1 (2: no `DATABASE_URL`); bench calls it before every start of a server that
needs a database.

`/db?ids=1,2,3` (1 to 100 keys) answers `{"items": [{"id", "name", "price_cents", "stock"}, ...]}` in the
order of the keys, `POST /db/write` with `{"item": 7, "quantity": 2}` inserts an order and answers it with
its number. What is malformed is 400, an item that does not exist 404. Without `DATABASE_URL`, and where the
database fails, both answer 503. A worker that cannot open its pool does not start, and says why.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, Sequence

import asyncpg

from targets.inside.refusals import MissingError, NoDatabaseError

CONNECTIONS = 10
"""Of each worker, all opened before it serves. While a worker is replaced its successor has as many."""

_CONNECT_S = 5.0
_CLOSE_S = 2.0

_READ = "SELECT id, name, price_cents, stock FROM whichworker.items WHERE id = ANY($1::int[])"
# No foreign key instead: it locks the row of the item, for which clients that order the same would wait.
_WRITE = """
INSERT INTO whichworker.orders (item, quantity)
SELECT id, $2::int FROM whichworker.items WHERE id = $1::int
RETURNING id
"""

# One transaction. The lock makes two that prepare at the same time do it one after the other.
_PREPARE = """
SELECT pg_advisory_xact_lock(hashtext('whichworker'));
CREATE SCHEMA IF NOT EXISTS whichworker;
CREATE TABLE IF NOT EXISTS whichworker.items (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price_cents integer NOT NULL,
    stock integer NOT NULL
);
CREATE TABLE IF NOT EXISTS whichworker.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item integer NOT NULL,
    quantity integer NOT NULL,
    placed timestamptz NOT NULL DEFAULT now()
);
INSERT INTO whichworker.items
SELECT id, 'Item ' || id, 100 + id * 37 % 9900, id * 7 % 500 FROM generate_series(1, 10000) AS id
ON CONFLICT DO NOTHING;
TRUNCATE whichworker.orders RESTART IDENTITY;
ANALYZE whichworker.items;
"""

# What asyncpg raises: of the connection, of the server, of its own use, of a URL that is none.
_FAILURES = (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)


class Database:
    """What the handlers ask. Its pool is open while a worker serves: `open` and `close` are listeners."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None

    async def open(self, *_: Any) -> None:
        """Open all connections of a worker.

        In a listener, and so after a fork: processes cannot share connections.

        Raises:
            NoDatabaseError: it cannot; then the worker does not start.
        """
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=CONNECTIONS,
                max_size=CONNECTIONS,
                timeout=_CONNECT_S,
                max_inactive_connection_lifetime=0,  # none is opened anew while a cell is measured
            )
        except _FAILURES as error:
            # Without the traceback of the driver, below which the sentence would be lost.
            raise _unusable(error) from None

    async def close(self, *_: Any) -> None:
        """Close the connections; those that are still used after two seconds are cut."""
        if self._pool is None:  # it could not be opened
            return
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_S)
        except asyncio.TimeoutError:
            self._pool.terminate()

    async def items(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The items of these ids, in their order, as they are answered.

        Raises:
            MissingError: there is no such item; names the first.
            NoDatabaseError: the database did not answer.
        """
        found = {row["id"]: dict(row) for row in await self._fetch(_READ, ids)}
        try:
            return [found[number] for number in ids]
        except KeyError as missing:
            raise _no_item(missing.args[0]) from None

    async def order(self, item: int, quantity: int) -> int:
        """Insert an order, committed when this returns; returns its number. Raises as `items`."""
        rows = await self._fetch(_WRITE, item, quantity)
        if not rows:
            raise _no_item(item)
        number: int = rows[0]["id"]
        return number

    async def _fetch(self, query: str, *values: Any) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(query, *values)
        except _FAILURES as error:
            raise _unusable(error) from error
        return rows


async def prepare(url: str) -> str:
    """Make the tables where they are missing, and empty `orders`; returns which server it is.

    Raises:
        NoDatabaseError: it cannot be done; the message says why.
    """
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_S)
        try:
            await connection.execute(_PREPARE)
            version = await connection.fetchval("SELECT version()")
        finally:
            await connection.close(timeout=_CLOSE_S)
    except _FAILURES as error:
        raise _unusable(error) from error
    return " ".join(version.split()[:2])


def _unusable(error: BaseException) -> NoDatabaseError:
    """What to say of a failure; never the URL, which may hold a password."""
    why = " ".join(str(error).split()) or type(error).__name__  # on one line
    return NoDatabaseError(f"the database of DATABASE_URL cannot be used: {why}")


def _no_item(missing: int) -> MissingError:
    return MissingError(f"there is no item {missing}")


def main(arguments: Sequence[str]) -> int:
    """Prepare the database of `DATABASE_URL`; returns the exit status."""
    url = os.environ.get("DATABASE_URL")
    if list(arguments) != ["prepare"]:
        return _complain(2, "usage: python -m targets.database prepare")
    if not url:
        return _complain(
            2, "set DATABASE_URL, for example to postgresql://user:password@127.0.0.1:5432/postgres"
        )
    try:
        print(asyncio.run(prepare(url)))  # noqa: T201
    except NoDatabaseError as error:
        return _complain(1, str(error))
    return 0


def _complain(status: int, text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
