"""The reader of the catalogue, and what the catalogue states."""

import dataclasses

import pytest

from targets.catalogue.configurations import load
from targets.catalogue.recycling import Recycling
from targets.catalogue.tables import ConfigurationError

from ..conftest import CATALOGUE

VALID = """
[stack.current]
python = ["3.11"]
requirements = "current.txt"

[configuration.plain]
summary = "A server."
stack = "current"
argv = ["server", "{app}", "--bind={host}:{port}", "-w", "{workers}"]
recycle = "flag"
recycle_argv = ["--max", "{max_requests}", "--jitter", "{max_requests_jitter}"]
environment = { A = "b" }
loop = "uvloop"
parser = "h11"
keep_alive_s = 75
backlog = 2048
max_workers = 4
"""


@pytest.fixture
def read(tmp_path):
    (tmp_path / "current.txt").touch()

    def read(text):
        (tmp_path / "catalogue.toml").write_text(text)
        return load(tmp_path / "catalogue.toml")

    return read


def start(configuration, **changes):
    values = {"host": "127.0.0.1", "port": 8000, "workers": 2, "app": "shop:app", **changes}
    return configuration.command(**values)


def test_the_catalogue_keeps_its_order(read):
    """The order of the file decides, among others, the colours of the charts."""
    table = VALID[VALID.index("[configuration.plain]") :]
    text = VALID + table.replace("plain", "zeta") + table.replace("plain", "alpha")
    assert list(read(text).configurations) == ["plain", "zeta", "alpha"]


def test_a_table_becomes_a_configuration(read, tmp_path):
    catalogue = read(VALID)
    assert dataclasses.asdict(catalogue.get("plain")) == {
        "name": "plain",
        "summary": "A server.",
        "stack": "current",
        "argv": ("server", "{app}", "--bind={host}:{port}", "-w", "{workers}"),
        "recycle": "flag",
        "recycle_argv": ("--max", "{max_requests}", "--jitter", "{max_requests_jitter}"),
        "environment": {"A": "b"},
        "loop": "uvloop",
        "parser": "h11",
        "keep_alive_s": 75,
        "backlog": 2048,
        "max_workers": 4,
        "variant_of": None,
        "startup_argv": (),
        "variant": None,
        **dict.fromkeys(("workers", "max_requests_jitter", "least_workers")),
        "reload": None,
        "output": "file",
        "sysctls": {},
        "unix_argv": (),
        "ended": None,
    }
    assert catalogue.stacks["current"].pythons == ("3.11",)
    assert catalogue.stacks["current"].requirements == tmp_path / "current.txt"


def test_the_command_is_filled_in(read):
    plain = read(VALID).get("plain")
    base = ["server", "shop:app", "--bind=127.0.0.1:8000", "-w", "2"]
    assert start(plain) == base
    assert start(plain, recycling=Recycling(500)) == [*base, "--max", "500", "--jitter", "0"]
    assert start(plain, recycling=Recycling(500, 50))[-1] == "50"
    assert plain.variables(Recycling(500)) == {"A": "b"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": 5}, "at most 4 worker"),
    ],
)
def test_a_command_that_cannot_be_is_refused(read, changes, message):
    with pytest.raises(ConfigurationError, match=message):
        start(read(VALID).get("plain"), **changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_requests": 0}, "at least 1"),
        ({"max_requests": 5, "max_requests_jitter": -1}, "not negative"),
        ({"max_requests_jitter": 5}, "give both"),
        ({"max_rss_mib": 0}, "at least 1 MiB"),
    ],
)
def test_recycling_that_makes_no_sense_is_refused(values, message):
    with pytest.raises(ConfigurationError, match=message):
        Recycling(**values)


@pytest.mark.parametrize(
    ("name", "recycling", "message"),
    [
        ("sanic-single", Recycling(500), "sanic-single never replaces a worker for its requests"),
        ("granian", Recycling(500), "granian counts no requests, .* give max_rss"),
        ("granian", Recycling(500, max_rss_mib=90), "granian counts no requests"),
        ("gunicorn-uvicorn", Recycling(max_rss_mib=90), "gunicorn-uvicorn never .* for its memory"),
        ("hypercorn", Recycling(500, 50), "hypercorn cannot spread"),
    ],
)
def test_recycling_is_refused_where_the_server_cannot(name, recycling, message):
    with pytest.raises(ConfigurationError, match=message):
        start(CATALOGUE.get(name), workers=1, recycling=recycling)


def test_the_app_is_told_after_how_many_requests():
    sanic = CATALOGUE.get("sanic")
    assert start(sanic, recycling=Recycling(500, 50)) == start(sanic)
    variables = sanic.variables(Recycling(500, 50))
    assert variables == {
        **sanic.environment,
        "WHICHWORKER_MAX_REQUESTS": "500",
        "WHICHWORKER_MAX_REQUESTS_JITTER": "50",
    }
    assert sanic.variables(Recycling(500))["WHICHWORKER_MAX_REQUESTS_JITTER"] == "0"
    assert sanic.variables(Recycling()) == sanic.environment


def test_memory_fills_its_place():
    assert start(CATALOGUE.get("granian"), recycling=Recycling(max_rss_mib=90))[-4:-2] == [
        "--workers-max-rss",
        "90",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("backlog =", "backlogs =", r"\[configuration.plain\]: backlog: is missing"),
        (
            "max_workers =",
            "max_worker =",
            r"\[configuration.plain\]: max_worker: unknown key; did you mean 'max_workers'",
        ),
        (
            "{port}",
            "{prot}",
            r"\[configuration.plain\]: argv: placeholder {prot} is unknown; did you mean 'port'",
        ),
        ("{max_requests}", "{port}", r"\[configuration.plain\]: recycle_argv: placeholder {port} is unknown"),
        ('stack = "current"', 'stack = "curent"', r"stack: 'curent' is unknown; did you mean 'current'"),
        ('recycle = "flag"', 'recycle = "flags"', r"recycle: 'flags' is unknown; did you mean 'flag'"),
        ('recycle = "flag"', 'recycle = "none"', r"recycle_argv: does not fit recycle = 'none'"),
        ('recycle = "flag"', 'recycle = "app"', r"recycle_argv: does not fit recycle = 'app'"),
        ('"server", ', "1, ", r"argv: must be a list of texts"),
        ('argv = ["server"', 'argv = []\nx = ["server"', r"argv: is empty"),
        ("keep_alive_s = 75", "keep_alive_s = true", r"keep_alive_s: must be a number, not True"),
        ("backlog = 2048", "backlog = 0", r"backlog: must be at least 1"),
        ('A = "b"', "A = 1", r"environment.A: must be a text"),
        ('summary = "A server."', 'summary = ""', r"summary: is empty"),
        (
            'requirements = "current.txt"',
            'requirements = "x.txt"',
            r"\[stack.current\]: requirements: there is no file",
        ),
        ("[stack.current]", "[stacks.current]", r"catalogue.toml: stack: is missing"),
        ("[stack.current]", "colour = 1\n[stack.current]", r"catalogue.toml: colour: unknown key"),
        ("[stack.current]", "[stack.current", r"catalogue.toml: not TOML: .*line 2"),
    ],
)
def test_a_mistake_is_named_with_file_table_and_key(read, old, new, message):
    assert old in VALID
    with pytest.raises(ConfigurationError, match=message) as caught:
        read(VALID.replace(old, new, 1))
    assert "catalogue.toml" in str(caught.value)


FAST = VALID[VALID.index("[configuration.plain]") :].replace("plain", "fast") + 'variant_of = "plain"\n'


def test_a_variant_names_what_it_is_a_variant_of(read):
    assert read(VALID + FAST).get("fast").variant_of == "plain"
    assert read(FAST + VALID).get("fast").variant_of == "plain", "the order of the tables is free"


@pytest.mark.parametrize(
    ("variant_of", "message"),
    [
        ("plane", r"\[configuration.fast\]: variant_of: 'plane' is unknown; did you mean 'plain'"),
        ("fast", r"\[configuration.fast\]: variant_of: names the configuration itself"),
        ("", r"\[configuration.fast\]: variant_of: is empty"),
    ],
)
def test_a_variant_of_nothing_is_refused(read, variant_of, message):
    with pytest.raises(ConfigurationError, match=message):
        read(VALID + FAST.replace('variant_of = "plain"', f'variant_of = "{variant_of}"'))


def test_a_variant_of_a_variant_is_refused(read):
    faster = FAST.replace('variant_of = "plain"', 'variant_of = "fast"').replace("n.fast]", "n.faster]")
    message = r"\[configuration.faster\]: variant_of: 'fast' is a variant itself: name 'plain' instead"
    with pytest.raises(ConfigurationError, match=message):
        read(VALID + FAST + faster)


def test_preloading_is_all_that_a_variant_differs_in():
    preload = CATALOGUE.get("gunicorn-uvicorn-preload")
    original = CATALOGUE.get(preload.variant_of)
    changes = {"name": original.name, "summary": original.summary, "variant_of": None, "variant": None}
    argv = tuple(word for word in preload.argv if word != "--preload")
    assert dataclasses.replace(preload, argv=argv, **changes) == original
    assert argv != preload.argv


def test_who_can_spread_its_restarts():
    takers = {name for name, configuration in CATALOGUE.declared.items() if configuration.takes_jitter}
    assert takers == set(CATALOGUE.declared) - {"sanic-single", "granian", "hypercorn"}


def test_who_wants_one_configuration_is_spared_the_variants():
    """Serve, which is started more often than anything else."""
    one = load(only="uvicorn")
    assert one.get("uvicorn") == CATALOGUE.get("uvicorn") and one.configurations == CATALOGUE.declared
    variant = next(name for name, entry in CATALOGUE.configurations.items() if entry.variant is not None)
    assert load(only=variant) == load(only="nothing") == CATALOGUE


def test_a_missing_catalogue_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere.toml: No such file"):
        load(tmp_path / "nowhere.toml")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="'gunicorn-uvcorn'; did you mean 'gunicorn-uvicorn'"):
        CATALOGUE.get("gunicorn-uvcorn")
    with pytest.raises(ConfigurationError, match="there are: sanic, sanic-single"):
        CATALOGUE.get("x")


@pytest.mark.parametrize("name", CATALOGUE.declared)
def test_keep_alive_and_recycling_are_stated_in_the_command(name):
    configuration = CATALOGUE.get(name)
    stated = [*configuration.argv, *configuration.environment.values()]
    seconds = configuration.keep_alive_s
    assert str(seconds) in stated or str(seconds * 1000) in stated
    needed = {"flag": ["{max_requests}"], "respawn": ["{max_requests}"], "rss": ["{max_rss_mib}"]}
    assert set(needed.get(configuration.recycle, [])) <= set(configuration.recycle_argv)


def test_requirements_are_pinned():
    for stack in CATALOGUE.pinned.values():
        lines = [line for line in stack.requirements.read_text().splitlines() if not line.startswith("#")]
        assert all("==" in line for line in lines)
        assert any(line.startswith("psutil==") for line in lines)


def test_servers_that_would_give_up_a_slow_start_are_kept_from_it():
    """A worker of Gunicorn has 30 s (immich-app/immich#4007, benoitc/gunicorn#2663)."""
    asked = {"host": "127.0.0.1", "port": 1, "workers": 1, "app": "a:b"}
    for configuration in CATALOGUE.declared.values():
        usual = configuration.command(**asked)
        assert configuration.command(**asked, startup_timeout=30.0) == usual
        patient = configuration.command(**asked, startup_timeout=44.5)
        more = ["--timeout", "55"] if usual[0] == "gunicorn" else []
        assert patient == [*usual, *more]
