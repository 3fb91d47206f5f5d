"""Variants: a configuration with something changed, as a table states it."""

import dataclasses

import pytest

from targets.catalogue.configurations import CONFIGURATIONS, load
from targets.catalogue.tables import ConfigurationError
from targets.catalogue.variants import EXPECTATIONS, Changes, combined, written

from ..conftest import CATALOGUE

PARENT = """
[stack.current]
python = ["3.11"]
requirements = "current.txt"

[configuration.plain]
summary = "A server."
stack = "current"
argv = ["server", "{app}", "--bind", "{host}:{port}", "--loop", "uvloop", "--log=off", "--quiet"]
recycle = "none"
environment = { A = "b" }
loop = "uvloop"
parser = "h11"
keep_alive_s = 75
backlog = 2048
"""
QUIET = 'of = "plain"\nvaries = "noise"\ndrop = ["--quiet"]\n'


@pytest.fixture
def read(tmp_path):
    (tmp_path / "current.txt").write_text("# all\nUvLoop==1\nhttp_tools==2\n")

    def read(text, base=PARENT):
        (tmp_path / "catalogue.toml").write_text(base + text)
        return load(tmp_path / "catalogue.toml")

    return read


@pytest.fixture
def variant(read):
    def variant(lines):
        return read(f'[variant.other]\nof = "plain"\nvaries = "x"\n{lines}\n').get("other")

    return variant


def test_a_variant_is_its_parent_with_something_changed(read):
    catalogue = read(
        f'[variant.loud]\n{QUIET}claim = "It is free."\nsource = "https://example.org/"\n'
        'says = "no difference"\nexpects = ["tail"]\n'
    )
    loud, plain = catalogue.get("loud"), catalogue.get("plain")
    assert dataclasses.asdict(loud.variant) == {
        "of": "plain",
        "varies": "noise",
        "change": "without --quiet",
        "claim": "It is free.",
        "source": "https://example.org/",
        "expects": ("tail",),
        "says": "no difference",
        "default": False,
    }
    assert loud.summary == "plain, noise: without --quiet." and loud.argv == plain.argv[:-1]
    same = {"name", "summary", "argv", "variant", "variant_of"}
    assert all(getattr(loud, key) == getattr(plain, key) for key in vars(plain).keys() - same)
    assert loud.variant_of == "plain" and plain.variant is None
    assert list(catalogue.configurations) == ["plain", "loud"] and list(catalogue.declared) == ["plain"]
    assert list(catalogue.variants("plain")) == ["loud"] and not catalogue.variants("loud")


@pytest.mark.parametrize(
    ("lines", "argv", "words"),
    [
        ('drop = ["--loop"]', ["--log=off", "--quiet"], "without --loop"),
        ('drop = ["--log"]', ["--loop", "uvloop", "--quiet"], "without --log"),
        (
            'replace = { "--loop" = "asyncio" }',
            ["--loop", "asyncio", "--log=off", "--quiet"],
            "--loop asyncio",
        ),
        ('replace = { "--log" = "on" }', ["--loop", "uvloop", "--log=on", "--quiet"], "--log on"),
        (
            'drop = ["--quiet"]\nadd = ["--to", "/dev/null", "-v"]',
            ["--loop", "uvloop", "--log=off", "--to", "/dev/null", "-v"],
            "without --quiet, --to /dev/null, -v",
        ),
    ],
)
def test_flags_are_dropped_replaced_and_added(variant, lines, argv, words):
    found = variant(lines)
    assert list(found.argv) == ["server", "{app}", "--bind", "{host}:{port}", *argv]
    assert found.variant.change == words and found.variant.expects == ("throughput", "cpu")


def test_variables_and_facts_go_over_those_of_the_parent(variant):
    found = variant('environment = { A = "c", B = "d" }\nloop = "asyncio"\nkeep_alive_s = 5\nbacklog = 100')
    assert found.environment == {"A": "c", "B": "d"} and found.variant.change == "A=c, B=d"
    assert (found.loop, found.parser, found.keep_alive_s, found.backlog) == ("asyncio", "h11", 5, 100)


SEVERAL_WORKERS = PARENT.replace('"--quiet"]', '"--quiet", "--workers", "{workers}"]')


def test_a_number_of_workers_may_go_by_the_cpus_of_servers(read):
    text = "".join(
        f'[variant.{name}]\nof = "plain"\nvaries = "workers"\nworkers = {workers}\n'
        for name, workers in (("four", 4), ("cpus", '"cpus"'), ("twice", '"2*cpus+1"'))
    )
    catalogue = read(text, base=SEVERAL_WORKERS)
    plain, four, twice = (catalogue.get(name) for name in ("plain", "four", "twice"))
    assert (plain.serving(2), four.serving(2), twice.serving(2)) == (2, 4, 2)
    assert twice.variant.change == "workers 2*cpus+1"
    there = catalogue.on(3)
    assert [there.get(name).serving(2) for name in ("plain", "four", "cpus", "twice")] == [2, 4, 3, 7]
    assert there.get("twice").variant.change == "workers 2*cpus+1 = 7 on 3 CPUs"
    assert catalogue.on(1).get("cpus").variant.change == "workers cpus = 1 on 1 CPU"
    command = there.get("twice").command(host="h", port=1, workers=7, app="a:b")
    assert command[-2:] == ["--workers", "7"]


def test_a_variant_may_spread_its_restarts_otherwise_than_its_run(read):
    flag = 'recycle = "flag"\nrecycle_argv = ["-r", "{max_requests_jitter}"]'
    base = PARENT.replace('recycle = "none"', flag)
    text = '[variant.even]\nof = "plain"\nvaries = "jitter"\nmax_requests_jitter = 0\nleast_workers = 2\n'
    even = read(text, base=base).get("even")
    assert (even.max_requests_jitter, even.least_workers) == (0, 2)
    assert even.variant.change == "max_requests_jitter 0"


def test_where_the_output_goes_is_a_change_of_its_own(variant):
    found = variant('output = "pipe"')
    assert (found.output, found.variant.change) == ("pipe", "output pipe")


def test_the_network_may_be_set_for_what_replacing_workers_shows(variant):
    found = variant('sysctls = { "net.ipv4.tcp_migrate_req" = 1 }\nexpects = ["losses"]')
    assert found.sysctls == {"net.ipv4.tcp_migrate_req": 1}
    assert found.variant.change == "net.ipv4.tcp_migrate_req=1"


def test_a_plain_default_is_told_from_settings(read):
    catalogue = read(f"[variant.bare]\n{QUIET}default = true\n[variant.loud]\n{QUIET}")
    assert catalogue.get("bare").variant.default and not catalogue.get("loud").variant.default
    assert catalogue.defaults("plain") == ["bare"]


def test_other_packages_and_pythons_make_another_stack(read):
    catalogue = read(
        '[variant.bare]\nof = "plain"\nvaries = "packages"\nwithout = ["uvloop", "http-tools"]\n'
        'packages = ["h1c[fast]==0.6"]\n[variant.new]\nof = "plain"\nvaries = "Python"\npython = ["3.14"]\n'
    )
    bare = catalogue.stacks[catalogue.get("bare").stack]
    parent = catalogue.stacks["current"]
    assert bare.name == "current+h1c-fast-0.6-without-http-tools-uvloop"
    assert (bare.of, bare.packages, bare.without) == (
        "current",
        ("h1c[fast]==0.6",),
        ("uvloop", "http-tools"),
    )
    assert (bare.pythons, bare.requirements) == (parent.pythons, parent.requirements)
    assert catalogue.get("bare").variant.change == "with h1c[fast]==0.6, without uvloop, http-tools"
    new = catalogue.stacks["current+python-3.14"]
    assert new.pythons == ("3.14",) and catalogue.get("new").variant.change == "Python 3.14"
    assert list(catalogue.pinned) == ["current"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('of = "plane"', "of: 'plane' is unknown; did you mean 'plain'"),
        ('of = "other"', "of: names the variant itself"),
        ('of = "loud"', "of: 'loud' is a variant itself: name 'plain' instead"),
        ("", "of: is missing"),
        ('of = "plain"', r"\[variant.other\]: changes nothing of 'plain': give drop"),
        ('of = "plain"\nenvironment = { A = "b" }', "changes nothing of 'plain'"),
        ('of = "plain"\nbacklog = 5', "changes nothing of 'plain'"),
        ('of = "plain"\npython = ["3.11"]', "changes nothing of 'plain'"),
        (
            'of = "plain"\ndrop = ["--quit"]',
            "drop: its parent's command has no '--quit'; did you mean '--quiet'",
        ),
        (
            'of = "plain"\nreplace = { "--lop" = "x" }',
            "replace.\"--lop\": .* has no '--lop'; did you mean '--loop'",
        ),
        ('of = "plain"\nreplace = { "--loop" = "uvloop" }', "replace.\"--loop\": is 'uvloop' already"),
        ('of = "plain"\nreplace = { "--quiet" = "x" }', 'replace."--quiet": has no value there'),
        ('of = "plain"\nreplace = { "--bind" = "x" }', "'--bind' says where and what is served"),
        ('of = "plain"\nadd = ["--log", "x"]', "add: '--log' is there already: change it with `replace`"),
        ('of = "plain"\nadd = ["{prot}"]', "add: placeholder {prot} is unknown; did you mean 'port'"),
        ('of = "plain"\nenvironment = { A = 1 }', "environment.A: must be a text"),
        (
            'of = "plain"\nwithout = ["uvlop"]',
            "without: 'uvlop' is not in current.txt; did you mean 'uvloop'",
        ),
        ('of = "plain"\npython = ["3"]', "python: must be versions such as \"3.13\", not '3'"),
        ('of = "plain"\nexpects = ["speed"]', "expects: 'speed' is unknown"),
        ('of = "plain"\noutput = "socket"', "output: 'socket' is unknown"),
        ('of = "plain"\ndefault = 1', "default: must be true or false, not 1"),
        ('of = "plain"\nsysctls = { "net.core.somaxcon" = 1 }', "sysctls: 'net.core.somaxcon' is unknown"),
        (
            'of = "plain"\nsysctls = { "net.ipv4.tcp_migrate_req" = true }\nexpects = ["losses"]',
            "tcp_migrate_req: must be a number, not True",
        ),
        (
            'of = "plain"\nsysctls = { "net.ipv4.tcp_migrate_req" = 1 }',
            "sysctls: may be expected to change losses, start, .*: other servers share the network",
        ),
        ('of = "plain"\nclaim = "X."', "says: is missing: does the claim call the variant better, no diff"),
        ('of = "plain"\nsays = "better"', "says: goes with a `claim`"),
        ('of = "plain"\nclaim = "X."\nsays = "good"', "says: 'good' is unknown"),
        ('of = "plain"\nsource = "my aunt"', "source: must be the address of a page"),
        ('of = "plain"\nworkers = "all"', r"workers: 'all' is unknown; there are: cpus, 2\*cpus\+1"),
        ('of = "plain"\nworkers = 0', "workers: must be at least 1, not 0"),
        ('of = "plain"\nworkers = 3', "workers: 'plain' has one worker, whatever it is told"),
        ('of = "plain"\nworkers = 3\nexpects = ["stall"]', "workers: cannot be expected to change losses"),
        ('of = "plain"\nmax_requests_jitter = 0', "max_requests_jitter: 'plain' cannot spread its restarts"),
        ('of = "plain"\nmax_requests_jitter = -1', "max_requests_jitter: is negative: -1"),
        ('of = "plain"\ndrops = ["--quiet"]', "drops: unknown key; did you mean 'drop'"),
    ],
)
def test_a_mistake_is_named_with_file_table_and_key(read, lines, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        read(f'[variant.loud]\n{QUIET}[variant.other]\nvaries = "x"\n{lines}\n')
    assert "catalogue.toml: [variant.other]: " in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_is_no_name_of_a_folder_is_refused(read):
    with pytest.raises(ConfigurationError, match=r"\[variant.a/b\]: becomes the name of a folder"):
        read(f'[variant."a/b"]\n{QUIET}')


def test_two_of_one_name_are_refused(read, tmp_path):
    with pytest.raises(ConfigurationError, match=r"\[variant.plain\]: of: names the variant itself"):
        read(f"[variant.plain]\n{QUIET}")
    further = PARENT[PARENT.index("[configuration.plain]") :].replace("n.plain]", "n.loud]")
    with pytest.raises(ConfigurationError, match=r"\[variant.loud\]: there is a configuration of this name"):
        read(f"{further}[variant.loud]\n{QUIET}")
    with pytest.raises(ConfigurationError, match=r"not TOML: .*'loud'.* twice"):
        read(f"[variant.loud]\n{QUIET}[variant.loud]\n{QUIET}")
    read(f"[variant.loud]\n{QUIET}")
    (tmp_path / "mine.toml").write_text(f'over = "catalogue.toml"\n[variant.loud]\n{QUIET}')
    with pytest.raises(
        ConfigurationError, match=r"mine.toml: \[variant.loud\]: there is a variant of this name"
    ):
        load(tmp_path / "mine.toml")


def test_a_file_of_variants_adds_to_the_suites(read, tmp_path):
    catalogue = read('[variant.mine]\nof = "granian"\nvaries = "x"\nadd = ["--x"]\n', base="")
    assert list(catalogue.configurations) == [*load().configurations, "mine"]
    assert catalogue.files == (tmp_path / "catalogue.toml",) and load().files == ()
    assert load(CONFIGURATIONS) == load()


def test_a_file_of_variants_may_add_to_another(read, tmp_path):
    read(f"[variant.loud]\n{QUIET}")
    mine = tmp_path / "mine.toml"
    text = '[variant.mine]\nof = "plain"\nvaries = "x"\nadd = ["--x"]\n'
    mine.write_text(f'over = "catalogue.toml"\n{text}')
    catalogue = load(mine)
    assert list(catalogue.configurations) == ["plain", "loud", "mine"]
    assert set(catalogue.files) == {mine, tmp_path / "catalogue.toml", tmp_path / "current.txt"}
    mine.write_text(f'over = "mine.toml"\n{text}')
    with pytest.raises(ConfigurationError, match=r"over: .*mine.toml is read already"):
        load(mine)
    with pytest.raises(ConfigurationError, match="over: unknown key"):
        read(text, base=f'over = "x"\n{PARENT}')


SEVERAL = """
[variant.b]
of = "plain"
varies = "b"
add = ["-b", "\\"é\\""]
backlog = 9

[variant.c]
of = "plain"
varies = "c"
replace = { "--loop" = "x" }
loop = "x"
without = ["uvloop"]

[variant.d]
of = "plain"
varies = "d"
environment = { D = "1" }
python = ["3.14"]

[variant.e]
of = "plain"
varies = "d"
replace = { "--loop" = "y" }
python = ["3.13"]
"""


def test_changes_are_combined_and_written_as_a_table(read, tmp_path):
    catalogue = read(f"[variant.loud]\n{QUIET}{SEVERAL}")
    chosen = [catalogue.changes[name] for name in ("loud", "b", "c", "d")]
    changes = combined(chosen)
    mine = tmp_path / "mine.toml"
    mine.write_text('over = "catalogue.toml"\n' + written("all.of", "plain", "several", changes, ["cpu"]))
    found = load(mine)
    assert found.changes["all.of"] == changes
    made = found.get("all.of")
    assert made.argv[4:] == ("--loop", "x", "--log=off", "-b", '"é"')
    assert (made.loop, made.backlog, made.environment) == ("x", 9, {"A": "b", "D": "1"})
    assert made.stack == "current+without-uvloop-python-3.14" and made.variant.expects == ("cpu",)
    with pytest.raises(ConfigurationError, match="--loop cannot be both x and y"):
        combined([catalogue.changes["c"], catalogue.changes["e"]])
    with pytest.raises(ConfigurationError, match=r"python: cannot be both 3.14 and 3.13"):
        combined([catalogue.changes["d"], catalogue.changes["e"]])


def test_numbers_of_workers_are_combined_and_written_as_well(read, tmp_path):
    text = f"[variant.loud]\n{QUIET}" + "".join(
        f'[variant.{name}]\nof = "plain"\nvaries = "workers"\nworkers = {workers}\n'
        for name, workers in (("four", 4), ("twice", '"2*cpus+1"'))
    )
    catalogue = read(text, base=SEVERAL_WORKERS)
    changes = combined([catalogue.changes[name] for name in ("loud", "twice")])
    mine = tmp_path / "mine.toml"
    mine.write_text('over = "catalogue.toml"\n' + written("both", "plain", "several", changes, ["cpu"]))
    assert load(mine).changes["both"] == changes
    assert load(mine).on(1).get("both").variant.change == "without --quiet, workers 2*cpus+1 = 3 on 1 CPU"
    with pytest.raises(ConfigurationError, match=r"workers cannot be both 4 and 2\*cpus\+1"):
        combined([catalogue.changes["four"], catalogue.changes["twice"]])
    jitter = Changes(facts={"max_requests_jitter": 0})
    assert "max_requests_jitter = 0\n" in written("even", "plain", "jitter", jitter, ["stall"])


VARIANTS = {name: entry for name, entry in CATALOGUE.configurations.items() if entry.variant is not None}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_of_the_suite_says_whose_claim_it_tests(name):
    entry = VARIANTS[name]
    about = entry.variant
    assert about.default or (about.claim.endswith(".") and about.source.startswith("https://"))
    assert set(about.expects) <= set(EXPECTATIONS) and name.startswith(f"{about.of}-")
    assert entry.recycle == CATALOGUE.get(about.of).recycle
    if "--backlog" in entry.argv:
        assert str(entry.backlog) in entry.argv or entry.variant.of in ("gunicorn-asgi", "gunicorn-sanic")
