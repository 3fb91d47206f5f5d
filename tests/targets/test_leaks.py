"""What an app loses on purpose."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from targets.leaks import BLOCK, CACHE, KINDS, VARIABLE, amounts, leak


class App:
    """As much of Sanic's app as leaks use."""

    def register_middleware(self, middleware, kind):
        assert kind == "request"
        self.lose = middleware


def ask(app, times):
    async def asked():
        for _ in range(times):
            await app.lose(None)

    asyncio.run(asked())


def open_files():
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


def test_amounts_are_those_of_the_text():
    assert amounts("bytes=500 descriptors=1/100") == {"bytes": 500, "descriptors": 0.01}
    for wrong in ("", "bytes", "bytes=0", "bytes=-1", "tasks=1/0", "socks=1", "bytes=1.5"):
        with pytest.raises(ValueError, match=VARIABLE):
            amounts(wrong)


def test_bytes_are_kept_to_a_block():
    kept = KINDS["bytes"]()
    for _ in range(1000):
        kept.lose(500)
    assert 500_000 - BLOCK < kept.kept <= 500_000


def test_a_cache_fills_and_is_full():
    cache = KINDS["filling"]()
    early = late = 0
    for number in range(2000):
        before = cache.kept
        cache.lose(CACHE / 200)
        early, late = (cache.kept, late) if number < 100 else (early, cache.kept - before)
    assert 0.3 * CACHE < early < 0.5 * CACHE and cache.kept <= CACHE and late < CACHE / 2000


def test_descriptors_and_connections_stay_open():
    app, before = App(), open_files()
    leak(app, "descriptors=1/10 connections=1/20")
    ask(app, 100)
    leaked = open_files() - before
    null = [each for each in leaked if _leads_to(each) == os.devnull]
    assert len(null) == 10 and sum(_leads_to(each).startswith("socket:") for each in leaked) == 2 * 5
    for each in null:
        os.close(each)


def _leads_to(descriptor):
    with contextlib.suppress(OSError):  # that of the listing itself
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    return ""
