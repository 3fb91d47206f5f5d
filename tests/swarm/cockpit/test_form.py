"""What the form may ask for: everything that is offered, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from swarm.cockpit.form import MOST_MIXED, LoadRequest, Refused, first_request, read_edit, read_start
from swarm.cockpit.offer import Offer, OfferedConfiguration, OfferedScenario
from swarm.cockpit.offer import lacking as lacking_of

CLASSES = ["Index", "Sleep"]
OFFER = Offer(
    configurations=(
        OfferedConfiguration("sanic", "Sanic's own.", None, 2, "requests"),
        OfferedConfiguration("granian", "Granian.", None, 4, "memory"),
        OfferedConfiguration("old", "An old one.", "it needs Python 3.9", 4, "requests"),
    ),
    scenarios=(),
    warmup_s=2.0,
    most_users=1000,
    processes=1,
    host="127.0.0.1",
    port=8089,
    socket=None,
    names=(),
    password=None,
    target=None,
    report="/r",
    full=0.9,
    proxies=("nginx",),
)
TARGET = replace(OFFER, configurations=(), target="http://127.0.0.1:9", report=None)
GOOD = {
    "user_count": "64",
    "spawn_rate": "10",
    "user_classes": ["Index"],
    "shape_class": "Default",
    "host": "",
    "run_time": "",
    "profile": "",
    "configuration": "sanic: Sanic's own.",
    "server_workers": "2",
    "recycle_after": "500",
    "proxy": "none",
    "arrivals_per_second": "",
}
RUNNING = LoadRequest("sanic", 2, 500, ("Index",), 64, 10.0, None, None, None)


def form(**changes):
    fields = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return MultiDict(fields)


def target_form(**changes):
    return form(configuration=None, server_workers=None, recycle_after=None, proxy=None, **changes)


def edit_form(**changes):
    """As Locust's dialog sends it: without some fields, and with all user classes, whatever runs."""
    only = dict.fromkeys(("shape_class", "host", "run_time", "profile"))
    return form(**{**only, "user_classes": CLASSES, **changes})


@pytest.mark.parametrize(
    ("labels", "scenario"), [(["Cpu", "Index"], ("Index",)), (["Cpu", "Sleep"], ("Cpu",)), ([], ())]
)
def test_what_is_proposed_can_be_had_and_is_one_scenario(labels, scenario):
    old, *others = reversed(OFFER.configurations)
    requested = first_request(replace(OFFER, configurations=(old, *others), most_users=10), labels)
    assert (requested.configuration, requested.classes, requested.users) == ("granian", scenario, 10)
    assert first_request(TARGET, labels).configuration is None


def test_the_form_as_the_page_sends_it():
    assert read_start(form(), OFFER, CLASSES) == RUNNING
    opened = read_start(form(arrivals_per_second="3000", run_time="1m", recycle_after=""), OFFER, CLASSES)
    assert (opened.rate_per_s, opened.run_time_s, opened.max_requests) == (3000.0, 60, None)
    assert read_start(form(configuration="sanic"), OFFER, CLASSES).configuration == "sanic"
    assert read_start(form(proxy="nginx"), OFFER, CLASSES) == replace(RUNNING, proxy="nginx")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user_count": "0"}, "the number of users"),
        ({"user_count": "1001"}, "from 1 to 1000"),
        ({"user_count": "1e3"}, "a whole number"),
        ({"user_count": "٣"}, "a whole number"),
        ({"user_count": None}, "missing"),
        ({"spawn_rate": "nan"}, "ramp-up"),
        ({"spawn_rate": "0"}, "ramp-up"),
        ({"user_classes": ["Index", "Root"]}, "no user class 'Root'"),
        ({"configuration": "rm -rf /"}, "no configuration"),
        ({"configuration": None}, "no configuration"),
        ({"configuration": "old"}, "needs Python 3.9"),
        ({"configuration": "old (unavailable: it needs Python 3.9)"}, "old is unavailable"),
        ({"server_workers": "3"}, "from 1 to 2"),
        ({"server_workers": "-1"}, "workers"),
        ({"recycle_after": "0"}, "requests after which"),
        ({"configuration": "granian"}, "only above a size in memory"),
        ({"proxy": "haproxy"}, "no proxy 'haproxy': nginx"),
        ({"arrivals_per_second": "inf"}, "arrivals per second"),
        ({"arrivals_per_second": "fast"}, "arrivals per second"),
        ({"run_time": "soon"}, "run time"),
        ({"run_time": "25h"}, "a day"),
        ({"host": "http://10.0.0.1"}, "leave Host empty"),
        ({"shape_class": "Waves"}, "shape classes"),
        ({"profile": "x"}, "profiles"),
        ({"tags": "a"}, "unknown field 'tags'"),
        ({"record": "/etc"}, "unknown field 'record'"),
    ],
)
def test_what_is_not_offered_is_refused_with_a_sentence(changes, said):
    with pytest.raises(Refused, match=said):
        read_start(form(**changes), OFFER, CLASSES)


def test_a_field_that_is_there_twice_is_refused():
    twice = MultiDict([*form().items(multi=True), ("configuration", "granian")])
    with pytest.raises(Refused, match="configuration is there twice"):
        read_start(twice, OFFER, CLASSES)


def test_everything_that_locusts_form_begins_with_is_too_much():
    many = [f"User{number}" for number in range(MOST_MIXED + 1)]
    for picked in (many, []):  # none is all, to Locust
        with pytest.raises(Refused, match="untick all of them by the box above the list"):
            read_start(form(user_classes=picked), OFFER, many)
    assert read_start(form(user_classes=many[1:]), OFFER, many).classes == tuple(many[1:])


def test_a_scenario_that_cannot_be_had_is_listed_with_the_reason_and_refused():
    offer = replace(OFFER, scenarios=(OfferedScenario("db", "db.py", "there is no database"),))
    lacking = lacking_of(offer.classes_offered({"db.py": ["Db"]}))
    (label,) = lacking
    assert label == "Db (unavailable: there is no database)"
    for picked in (["Index", label], []):
        with pytest.raises(Refused, match="Db is unavailable: there is no database"):
            read_start(form(user_classes=picked), offer, [*CLASSES, label], lacking)
    assert read_start(form(), offer, [*CLASSES, label], lacking).classes == ("Index",)


def test_an_open_loop_needs_a_user_in_each_process_of_the_generator():
    offer = replace(OFFER, processes=3)
    few = {"user_count": "2", "arrivals_per_second": "10"}
    with pytest.raises(Refused, match="at least 3 users"):
        read_start(form(**few), offer, CLASSES)
    with pytest.raises(Refused, match="at least 3 users"):
        read_edit(edit_form(**few), offer, replace(RUNNING, rate_per_s=10.0))
    assert read_start(form(user_count="2"), offer, CLASSES).users == 2


def test_the_page_may_repeat_an_address_that_was_served_here():
    assert read_start(
        form(host="http://127.0.0.1:8001"), OFFER, CLASSES, known_hosts={"http://127.0.0.1:8001"}
    )


def test_a_given_target_is_swarmed_wherever_the_user_says():
    assert read_start(target_form(), TARGET, CLASSES).host == "http://127.0.0.1:9"
    asked = read_start(target_form(host="https://example.test:8443/base"), TARGET, CLASSES)
    assert asked.host == "https://example.test:8443/base" and asked.configuration is None
    for bad in ("file:///etc/passwd", "http://", "http://a b", "http://x:99999", 'http://x"y', "nonsense"):
        with pytest.raises(Refused, match="is not a URL"):
            read_start(target_form(host=bad), TARGET, CLASSES)
    with pytest.raises(Refused, match="nothing is started here"):
        read_start(form(), TARGET, CLASSES)


def test_users_and_ramp_can_change_while_it_runs():
    changed = read_edit(edit_form(user_count="8", spawn_rate="4"), OFFER, RUNNING)
    assert changed == replace(RUNNING, users=8, spawn_rate=4.0)
    same = {"configuration": None, "server_workers": None, "recycle_after": None, "arrivals_per_second": None}
    assert read_edit(edit_form(**same), OFFER, RUNNING) == RUNNING


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"configuration": "granian", "recycle_after": ""}, "the configuration"),
        ({"server_workers": "1"}, "the number of workers"),
        ({"recycle_after": "501"}, "when workers are replaced"),
        ({"proxy": "nginx"}, "the proxy"),
        ({"arrivals_per_second": "10"}, "the arrival rate"),
        ({"user_classes": ["Sleep"], "shape_class": "Default"}, "the scenario"),
        ({"run_time": "10"}, "the run time"),
    ],
)
def test_nothing_else_can(changes, what):
    with pytest.raises(Refused, match=f"{what} cannot change while the load runs"):
        read_edit(edit_form(**changes), OFFER, RUNNING)


@given(st.dictionaries(st.sampled_from([*GOOD, "extra"]), st.text(max_size=20)))
def test_any_form_is_read_or_refused(changes):
    try:
        requested = read_start(MultiDict({**GOOD, **changes}), OFFER, CLASSES)
    except Refused as refusal:
        assert len(str(refusal)) < 300
    else:
        assert requested.configuration in ("sanic", "granian") and 1 <= requested.users <= 1000
        assert (
            1 <= requested.workers <= 4 and set(requested.classes) <= set(CLASSES) and requested.host is None
        )
