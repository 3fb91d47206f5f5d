import shlex
from dataclasses import replace

import pytest

from analysis.recommend.advice import changed, command
from bench.model.requirements import Requirements
from targets.catalogue.recycling import Recycling
from targets.inside.own_app import OWN_APP, SUITES_APP
from tests.analysis.recommend.builders import CATALOGUE, known, served


def measured(name="gunicorn-uvicorn", *, workers=2, app=None, replacing=True, **changes):
    """A configuration of the catalogue that served by its own command; with `changes` to its entry."""
    entry = replace(CATALOGUE.get(name), **changes)
    return known(
        name,
        entry.recycle,
        entry=entry,
        backlog=entry.backlog,
        served=tuple(
            replace(
                served(
                    shlex.join(_ran(entry, workers, app, replaced)),
                    replacing=replaced,
                    workers=workers,
                    parser=entry.parser,
                    environment=entry.environment,
                ),
                app=app,
            )
            for replaced in dict.fromkeys([False, replacing])
        ),
    )


def _ran(entry, workers, app, replaced):
    """As a cell records it: on a port of its own, with the numbers of the plan."""
    values = {"host": "127.0.0.1", "port": 53727, "workers": workers, "app": OWN_APP if app else SUITES_APP}
    if replaced and entry.recycle == "rss":
        values["recycling"] = Recycling(max_rss_mib=40)
    elif replaced:
        values["recycling"] = Recycling(500, 50 if entry.takes_jitter else None)
    return ["/venv/bin/" + (words := entry.command(**values))[0], *words[1:]]


def test_gunicorn():
    versions = {"python": "3.11.7", "gunicorn": "27.0.1", "uvicorn-worker": "0.4.0", "granian": "2.8.7"}
    found = command(replace(measured(), versions=versions), Requirements(workers=4))
    assert found.line == (
        "gunicorn app:app --bind 127.0.0.1:8000 --workers 4 --worker-class uvicorn_worker.UvicornWorker "
        "--keep-alive 75 --backlog 2048 --no-control-socket --max-requests 10000 --max-requests-jitter 1000"
    )
    assert found.app_lines == found.needs == ()
    assert found.settings == {
        "workers": 4, "keep_alive_s": 75.0, "backlog": 2048, "max_requests": 10_000,
        "max_requests_jitter": 1000, "max_rss_mib": None, "preload": False, "loop": "uvloop",
        "parser": "httptools",
    }  # fmt: skip
    assert list(found.settings)[3:6] == ["max_requests", "max_requests_jitter", "max_rss_mib"]
    assert found.versions == {"python": "3.11.7", "gunicorn": "27.0.1", "uvicorn-worker": "0.4.0"}


def test_a_configuration_whose_flags_have_other_names_gets_a_right_recommendation():
    """Nothing but the catalogue knows what a flag is called."""
    server = measured(
        argv=("server", "{app}", "--listen={host}:{port}", "-w", "{workers}", "--limit", "500"),
        recycle_argv=("--retire-after={max_requests}+{max_requests_jitter}",),
    )
    found = command(server, Requirements(workers=3, max_requests=7000, max_requests_jitter=70))
    assert found.line == "server app:app --listen=127.0.0.1:8000 -w 3 --limit 500 --retire-after=7000+70"
    assert found.settings["max_requests_jitter"] == 70
    assert changed(server, Requirements()) is None


def test_nobody_is_replaced_where_that_is_not_required():
    found = command(measured(), Requirements(restart="none"))
    assert "--max-requests" not in found.line and found.line.endswith("--no-control-socket")
    assert found.settings["max_requests"] is found.settings["max_requests_jitter"] is None


def test_sanics_own_server_needs_its_environment_and_two_lines_in_the_app():
    found = command(measured("sanic"), Requirements(max_requests=5000, max_requests_jitter=500))
    assert found.line == (
        "SANIC_KEEP_ALIVE_TIMEOUT=75 sanic app:app --host 127.0.0.1 --port 8000 --workers 2 --no-motd "
        "--no-access-logs"
    )
    assert found.app_lines == (
        "from recycle import recycle_after",
        "",
        "recycle_after(app, max_requests=5_000, jitter=500)",
    )
    assert (found.settings["max_requests"], found.settings["max_requests_jitter"]) == (5000, 500)
    (need,) = found.needs
    assert "targets/recycle.py" in need
    alone = command(measured("sanic"), Requirements(restart="none"))
    assert alone.app_lines == alone.needs == ()


def test_what_the_configuration_sets_in_the_environment_is_in_front_of_the_command():
    variables = {"SANIC_ACCESS_LOG": "false", "SANIC_REQUEST_ID": "x y"}
    found = command(measured(environment=variables), Requirements())
    assert found.line.startswith("SANIC_ACCESS_LOG=false SANIC_REQUEST_ID='x y' gunicorn app:app --bind ")


def test_runs_from_before_the_environment_was_recorded_have_that_of_the_catalogue():
    server = measured("gunicorn-sanic")
    older = replace(server, served=tuple(replace(cell, environment=None) for cell in server.served))
    assert command(older, Requirements()).line.startswith(
        "SANIC_KEEP_ALIVE_TIMEOUT=75 SANIC_ACCESS_LOG=false gunicorn app:app --bind "
    )
    assert changed(older, Requirements()) is None


def test_uvicorn_with_one_worker_needs_a_process_manager():
    one, two = measured("uvicorn", workers=1), measured("uvicorn", workers=2)
    server = replace(two, served=one.served + two.served)
    several = command(server, Requirements())
    assert several.needs == () and "--workers 2" in several.line
    assert several.line.endswith("--limit-max-requests 10000 --limit-max-requests-jitter 1000")
    (need,) = command(server, Requirements(workers=1)).needs
    assert "process manager" in need


def test_granian_is_told_a_size():
    found = command(measured("granian"), Requirements(restart="memory"))
    assert "--workers-max-rss 512 --rss-sample-interval 1" in found.line
    assert found.settings["max_rss_mib"] == 512 and found.settings["max_requests"] is None


def test_no_jitter_where_there_is_no_place_for_it():
    found = command(measured("hypercorn"), Requirements())
    assert found.settings["max_requests_jitter"] is None and found.line.endswith("--max-requests 10000")


def test_modules_of_the_suite_that_a_command_needs_are_named():
    found = command(measured("gunicorn-asgi"), Requirements())
    assert "--config python:gunicorn_asgi" in found.line
    assert found.needs == ("targets/gunicorn_asgi.py of this suite, copied beside your app",)


def test_preload_is_among_the_settings():
    found = command(measured("gunicorn-uvicorn-preload"), Requirements())
    assert " --preload " in found.line and found.settings["preload"]


def test_words_that_a_shell_would_split_are_quoted():
    server = measured(argv=("gunicorn", "{app}", "--name", "my app"))
    assert command(server, Requirements(restart="none")).line == "gunicorn app:app --name 'my app'"


@pytest.mark.parametrize(("name", "workers"), [("sanic-single", 1), ("gunicorn-uvicorn", 3)])
def test_no_more_workers_than_a_server_takes(name, workers):
    server = measured(name, workers=1, replacing=False, max_workers=workers)
    found = command(server, Requirements(restart="none", workers=4))
    assert found.settings["workers"] == workers
    assert ("--workers 3" in found.line) == (workers == 3)


def test_without_a_cell_there_is_no_command():
    assert command(known(served=()), Requirements()) is None


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sanic", "sanic notes.app:create_app --host 127.0.0.1 --port 8000 --workers 2 --no-motd"),
        ("sanic", "--no-access-logs --factory"),
        (
            "gunicorn-uvicorn",
            "gunicorn 'notes.app:create_app()' --bind 127.0.0.1:8000 --workers 2 --worker-class",
        ),
    ],
)
def test_an_app_of_ones_own_is_named_as_its_server_wants_it(name, wanted):
    server = measured(name, app="notes.app:create_app()", replacing=False)
    found = command(server, Requirements(restart="none"))
    assert wanted in found.line and "targets" not in found.line
    assert not any("targets/own.py" in need for need in found.needs)


def test_an_app_of_ones_own_that_starts_slowly_is_waited_for():
    server = replace(measured(app="notes.app:app"), startup_timeout_s=100)
    assert command(server, Requirements()).line.endswith("--timeout 110")


def test_an_app_of_ones_own_is_named_where_only_the_suites_was_recycled():
    fast, recycles = measured(app="notes.app:app", replacing=False), measured()
    server = replace(recycles, served=(recycles.served[1], fast.served[0]))
    found = command(server, Requirements())
    assert found.line.startswith("gunicorn notes.app:app --bind ") and "--max-requests 10000" in found.line


def test_a_command_that_the_catalogue_has_no_more_is_told_as_it_was_measured():
    server = measured()
    gone = command(replace(server, entry=None), Requirements())
    assert "--bind 127.0.0.1:53727 --workers 2" in gone.line and "--max-requests 500" in gone.line
    (need,) = gone.needs
    assert "as it was measured" in need
    now = replace(server.entry, argv=(*server.entry.argv, "--fast"))
    assert changed(replace(server, entry=now), Requirements()) == gone.line
    assert " --fast " in command(replace(server, entry=now), Requirements()).line
