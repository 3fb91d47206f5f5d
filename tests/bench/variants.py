"""Configurations with variants, and a plan of settings, as tests of these have them."""

from dataclasses import replace

from targets.catalogue.configurations import load
from targets.catalogue.variants import Variant

TEXT = """
summary = "settings"
configurations = ["uvicorn"]
settings = true
workers = [1]
repeats = 2
warmup_s = 0.5
measured_s = 2
[rotation]
[recycling]
max_requests = 500
replacements = 9
requests = 2000
[scenarios.index]
users = [64]
[[scenarios.index.open]]
rates_per_s = [800]
[[scenarios.index.open]]
rates_per_s = [1500]
recycled = false
"""


def _entry(name, of=None, *expects):
    variant = None if of is None else Variant(of, name, "a change", "", "", expects=expects)
    return replace(load().get("uvicorn"), name=name, variant_of=of, variant=variant)


_ENTRIES = (
    _entry("a"),
    _entry("b"),
    _entry("alone"),
    _entry("a-log", "a", "throughput"),
    _entry("a-gc", "a", "tail", "cpu"),
    _entry("b-preload", "b", "memory", "losses"),
)
KNOWN = {each.name: each for each in _ENTRIES}
