"""What the form asks for, checked against the offer: every field, and no others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from locust.util.timespan import parse_timespan
from werkzeug.datastructures import MultiDict

from .offer import Offer, OfferedConfiguration

MOST_MIXED: Final = 5
"""Scenarios that can run at once: users are shared out among them, and the cell is named after them all."""
MOST_REQUESTS: Final = 1_000_000_000
MOST_ARRIVALS_PER_S: Final = 10_000_000.0
MOST_SPAWNED_PER_S: Final = 100_000.0
MOST_RUN_TIME_S: Final = 24 * 3600

USERS: Final = 64
SPAWN_RATE: Final = 64.0
PROPOSED: Final = "Index"
"""What the forms propose before the first load; the user class, if it is offered."""

COMMON: Final = frozenset({"user_count", "spawn_rate"})
OWN: Final = frozenset({"configuration", "server_workers", "recycle_after", "proxy", "arrivals_per_second"})
NO_PROXY: Final = "none"
PICKED: Final = frozenset({"user_classes"})
AT_START: Final = frozenset({"shape_class", "host", "run_time", "profile"})
"""Fields of Locust's own form that its dialog for a running test has not got."""

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
Form = MultiDict[str, str]


class Refused(Exception):
    """The form asks for something impossible; the message is for the person who filled it in."""


@dataclass(frozen=True)
class LoadRequest:
    """What a load is to be. `rate_per_s` is None in a closed loop; times are seconds.

    `configuration` is None and `host` a URL where something is swarmed that runs already.
    """

    configuration: str | None
    workers: int
    max_requests: int | None
    classes: tuple[str, ...]
    users: int
    spawn_rate: float
    rate_per_s: float | None
    run_time_s: int | None
    host: str | None
    proxy: str | None = None


def first_request(offer: Offer, labels: Sequence[str]) -> LoadRequest:
    """What the form proposes before the first load: one scenario, one worker, a closed loop.

    `labels` are those of the class picker, available ones first.
    """
    configuration = next((each.name for each in offer.configurations if each.unavailable is None), None)
    scenario = PROPOSED if PROPOSED in labels else next(iter(labels), None)
    return LoadRequest(
        configuration=configuration,
        workers=1,
        max_requests=None,
        classes=() if scenario is None else (scenario,),
        users=min(USERS, offer.most_users),
        spawn_rate=SPAWN_RATE,
        rate_per_s=None,
        run_time_s=None,
        host=offer.target,
    )


def read_start(
    form: Form,
    offer: Offer,
    classes: Collection[str],
    lacking: Mapping[str, str] = NOTHING,
    known_hosts: Collection[str] = (),
) -> LoadRequest:
    """What a start asks for. `classes` are what the class picker lists, `lacking` says of some why not.

    `known_hosts` are URLs that this cockpit has served itself: the page repeats what it was last told.
    Raises Refused.
    """
    _check_keys(form, COMMON | OWN | PICKED | AT_START)
    _check_unused(form)
    configuration, workers, max_requests = _server(form, offer)
    requested = LoadRequest(
        configuration=configuration,
        workers=workers,
        max_requests=max_requests,
        classes=_classes(form, classes, lacking),
        users=_users(form, offer),
        spawn_rate=_number(form, "spawn_rate", "the ramp-up", 0.01, MOST_SPAWNED_PER_S),
        rate_per_s=_rate(form),
        run_time_s=_run_time(form),
        host=_host(form, offer, known_hosts),
        proxy=_proxy(form, offer),
    )
    _check_share(requested, offer)
    return requested


def read_edit(form: Form, offer: Offer, running: LoadRequest) -> LoadRequest:
    """What an edit of the running load asks for: other users, or another ramp-up. Raises Refused."""
    _check_keys(form, COMMON | OWN | PICKED | AT_START)
    _check_unused(form)
    if form.get("run_time"):
        raise Refused(_only_users("the run time"))
    # Locust's dialog for a running test has no list of user classes, but always sends all there are.
    if AT_START & set(form) and set(form.getlist("user_classes")) != set(running.classes):
        raise Refused(_only_users("the scenario"))
    if offer.target is None and form.get("configuration"):
        _check_same((*_server(form, offer), _proxy(form, offer)), running)
    if "arrivals_per_second" in form and _rate(form) != running.rate_per_s:
        raise Refused(_only_users("the arrival rate"))
    users = _users(form, offer)
    rate = _number(form, "spawn_rate", "the ramp-up", 0.01, MOST_SPAWNED_PER_S)
    requested = replace(running, users=users, spawn_rate=rate)
    _check_share(requested, offer)
    return requested


def _check_share(requested: LoadRequest, offer: Offer) -> None:
    """An open loop's arrivals are shared out among the processes of the generator: each needs a user."""
    if requested.rate_per_s is not None and requested.users < offer.processes:
        raise Refused(
            f"an open loop needs a user in each of the {offer.processes} processes of the load generator: "
            f"at least {offer.processes} users"
        )


def _check_same(server: tuple[str | int | None, ...], running: LoadRequest) -> None:
    now = (running.configuration, running.workers, running.max_requests, running.proxy)
    names = ("the configuration", "the number of workers", "when workers are replaced", "the proxy")
    for name, asked, is_so in zip(names, server, now, strict=True):
        if asked != is_so:
            raise Refused(_only_users(name))


def _only_users(what: str) -> str:
    return f"{what} cannot change while the load runs, only users and ramp-up can: press Stop, then New"


def _check_keys(form: Form, known: Collection[str]) -> None:
    for key in form:
        if key not in known:
            raise Refused(f"unknown field {key[:40]!r}")
        if key != "user_classes" and len(form.getlist(key)) > 1:
            raise Refused(f"the field {key} is there twice")


def _check_unused(form: Form) -> None:
    """Fields that Locust's form has and the suite has no use for: left as they are, they are no harm."""
    if form.get("shape_class", "Default") != "Default":
        raise Refused("shape classes are not used here: leave Shape Class as it is")
    if form.get("profile"):
        raise Refused("profiles are not used here: leave Profile empty")


def _server(form: Form, offer: Offer) -> tuple[str | None, int, int | None]:
    """The configuration, its workers, and after how many requests they are replaced."""
    if offer.target is not None:
        for name in OWN - {"arrivals_per_second"}:
            if form.get(name):
                raise Refused(f"{name}: nothing is started here, the load goes to {offer.target}")
        return None, 0, None
    text = form.get("configuration", "")
    configuration = offer.configuration(text)
    if configuration is None:
        raise Refused(f"there is no configuration {text[:60]!r}")
    if configuration.unavailable is not None:
        raise Refused(f"{configuration.name} is unavailable: {configuration.unavailable}")
    workers = _whole(form, "server_workers", "workers", 1, configuration.most_workers, default=1)
    assert workers is not None
    return configuration.name, workers, _max_requests(form, configuration)


def _max_requests(form: Form, configuration: OfferedConfiguration) -> int | None:
    count = _whole(form, "recycle_after", "requests after which workers are replaced", 1, MOST_REQUESTS)
    if count is not None and configuration.recycles != "requests":
        instead = "only above a size in memory" if configuration.recycles == "memory" else "never"
        raise Refused(
            f"{configuration.name} does not replace workers after requests ({instead}): "
            "leave that field empty"
        )
    return count


def _proxy(form: Form, offer: Offer) -> str | None:
    text = form.get("proxy", "").strip()
    if text in ("", NO_PROXY) or offer.target is not None:
        return None
    if text not in offer.proxies:
        have = " or ".join(offer.proxies) or "none is installed here (Debian: apt install nginx)"
        raise Refused(f"there is no proxy {text[:40]!r}: {have}")
    return text


def _classes(form: Form, classes: Collection[str], lacking: Mapping[str, str]) -> tuple[str, ...]:
    picked = tuple(dict.fromkeys(form.getlist("user_classes"))) or tuple(classes)  # none is all, to Locust
    for name in picked:
        if name not in classes:
            raise Refused(f"there is no user class {name[:60]!r}")
    if len(picked) > MOST_MIXED:
        raise Refused(
            f"{len(picked)} user classes are picked, and at most {MOST_MIXED} can run at once: "
            "untick all of them by the box above the list, then tick what you want"
        )
    for name in picked:
        if name in lacking:
            raise Refused(lacking[name])
    return picked


def _users(form: Form, offer: Offer) -> int:
    users = _whole(form, "user_count", "the number of users", 1, offer.most_users)
    if users is None:
        raise Refused("the number of users is missing")
    return users


def _rate(form: Form) -> float | None:
    if not form.get("arrivals_per_second", "").strip():
        return None
    return _number(form, "arrivals_per_second", "arrivals per second", 0.1, MOST_ARRIVALS_PER_S)


def _run_time(form: Form) -> int | None:
    text = form.get("run_time", "").strip()
    if not text:
        return None
    try:
        seconds = parse_timespan(text)
    except ValueError:
        raise Refused("the run time is written like 20, 20s, 3m, 1h20m") from None
    if not 1 <= seconds <= MOST_RUN_TIME_S:
        raise Refused("the run time is between a second and a day")
    return int(seconds)


def _host(form: Form, offer: Offer, known_hosts: Collection[str]) -> str | None:
    host = form.get("host", "").strip()
    if offer.target is None:
        if host and host not in known_hosts:
            raise Refused("load goes to the server that is started here: leave Host empty")
        return None
    if not host:
        return offer.target
    try:
        parts = urlsplit(host)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or re.search(r"[\s<>\"'\\\x00-\x1f]", host):
        raise Refused(f"{host[:80]!r} is not a URL like http://127.0.0.1:8000")
    return host


def _whole(form: Form, key: str, what: str, least: int, most: int, default: int | None = None) -> int | None:
    text = form.get(key, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
        raise Refused(f"{what}: a whole number from {least} to {most}, not {text[:40]!r}")
    return int(text)


def _number(form: Form, key: str, what: str, least: float, most: float) -> float:
    text = form.get(key, "").strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (isfinite(value) and least <= value <= most):
        raise Refused(f"{what}: a number from {least:g} to {most:,.0f}, not {text[:40]!r}")
    return value
