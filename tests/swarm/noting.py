"""Servers that note when they were asked, which is held against what a generator recorded."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise

import gevent

from tests.swarm.scripted import reply


class Noting:
    """A script that notes when each connection asked, answers after a while, and knows who is unanswered."""

    def __init__(self, delay_s=0.002):
        self.delay_s = delay_s
        self.asked = defaultdict(list)
        self.answered = 0

    def __call__(self, client, _asked):
        self.asked[client.number].append(time.time())
        gevent.sleep(self.delay_s)
        client.send(reply())
        self.answered += 1

    @property
    def times(self):
        return sorted(at for each in self.asked.values() for at in each)

    def within(self, start, end):
        """How many requests came in there, and the most that this can differ from what the generator counts.

        Of a connection's requests all but the first and the last were surely begun and ended there.
        """
        counts = [sum(start <= at < end for at in each) for each in self.asked.values()]
        return sum(counts), len(counts)


def check_apart(slices, notes, finished):
    """Where nothing was in flight when a slice began, all that came until the next one was its target's."""
    slices.sort(key=lambda each: float(each[1]["planned_start"]))
    warm_s = {name: of["warm_s"] for name, of in finished["targets"].items()}
    opens = [float(row["planned_start"]) - warm_s[name] for name, row in slices]
    for index, ((name, _), (_, after)) in enumerate(pairwise(slices)):
        if after["in_flight"] != "0":
            continue  # a busy machine: the slice was not over in time, and that was noticed
        for other, note in notes.items():
            came = [at for at in note.times if opens[index] + 1e-5 < at < opens[index + 1] - 1e-5]
            if other != name and slices[index][1]["in_flight"] == "0":
                assert not came, (name, other)
