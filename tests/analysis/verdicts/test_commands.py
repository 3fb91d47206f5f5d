from dataclasses import replace

import pytest

from analysis.verdicts.commands import command
from analysis.verdicts.requirements import Requirements
from tests.analysis.verdicts.builders import known, served

SANIC = "/venv/bin/sanic targets.app:app --host 127.0.0.1 --port 34883 --workers 2 --no-motd --no-access-logs"
GUNICORN = (
    "/venv/bin/gunicorn targets.app:app --bind 127.0.0.1:53727 --workers 2 --worker-class "
    "uvicorn_worker.UvicornWorker --keep-alive 75 --backlog 2048 --no-control-socket"
)
UVICORN = "/venv/bin/uvicorn targets.app:app --host 127.0.0.1 --port 45091 --workers {} --backlog 2048"


def test_gunicorn():
    server = known(
        served=(
            served(GUNICORN, replacing=False),
            served(f"{GUNICORN} --max-requests 500 --max-requests-jitter 50"),
        ),
        versions={"python": "3.11.7", "gunicorn": "27.0.1", "uvicorn-worker": "0.4.0", "granian": "2.8.7"},
    )
    found = command(server, Requirements(workers=4))
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
    assert found.versions == {"python": "3.11.7", "gunicorn": "27.0.1", "uvicorn-worker": "0.4.0"}


def test_nobody_is_replaced_where_that_is_not_required():
    server = known(
        served=(served(GUNICORN, replacing=False, jitter=False), served(f"{GUNICORN} --max-requests 500"))
    )
    found = command(server, Requirements(restart="none"))
    assert "--max-requests" not in found.line and found.line.endswith("--no-control-socket")
    assert found.settings["max_requests"] is found.settings["max_requests_jitter"] is None


def test_sanics_own_server_needs_its_environment_and_two_lines_in_the_app():
    kept = {"SANIC_KEEP_ALIVE_TIMEOUT": "75"}
    server = known("sanic", "app", served=(served(SANIC, environment=kept),), backlog=100)
    found = command(server, Requirements(max_requests=5000, max_requests_jitter=500))
    assert found.line == (
        "SANIC_KEEP_ALIVE_TIMEOUT=75 sanic app:app --host 127.0.0.1 --port 8000 --workers 2 --no-motd "
        "--no-access-logs"
    )
    assert found.app_lines == (
        "from recycle import recycle_after",
        "",
        "recycle_after(app, max_requests=5_000, jitter=500)",
    )
    (need,) = found.needs
    assert "targets/recycle.py" in need
    alone = command(
        known("sanic", "app", served=(served(SANIC, replacing=False),)),
        Requirements(restart="none"),
    )
    assert alone.app_lines == alone.needs == ()


def test_what_the_configuration_sets_in_the_environment_is_in_front_of_the_command():
    line = "gunicorn targets.app:app --bind 127.0.0.1:1 --worker-class sanic.worker.GunicornWorker"
    variables = {"SANIC_ACCESS_LOG": "false", "SANIC_REQUEST_ID": "x y"}
    found = command(known(served=(served(line, environment=variables),)), Requirements())
    assert found.line.startswith("SANIC_ACCESS_LOG=false SANIC_REQUEST_ID='x y' gunicorn app:app --bind ")


def test_an_environment_that_only_another_cell_recorded_is_that_of_the_configuration():
    older = replace(served(GUNICORN), environment=None)
    later = served(GUNICORN, replacing=False, environment={"A": "1"})
    assert command(known(served=(older, later)), Requirements()).line.startswith("A=1 gunicorn ")


def test_runs_from_before_it_was_recorded_had_an_environment_for_sanics_own_server_alone():
    def line(words, parser):
        older = replace(served(words, parser=parser), environment=None)
        return command(known(served=(older,)), Requirements()).line

    assert line(GUNICORN, "httptools").startswith("gunicorn ")
    assert line(SANIC, "sanic").startswith("SANIC_KEEP_ALIVE_TIMEOUT=75 sanic ")
    assert line(GUNICORN, "sanic").startswith(
        "SANIC_KEEP_ALIVE_TIMEOUT=75 SANIC_ACCESS_LOG=false gunicorn app:app --bind "
    )


def test_uvicorn_with_one_worker_needs_a_process_manager():
    options = " --limit-max-requests 500 --limit-max-requests-jitter 50"
    server = known(
        "uvicorn",
        "respawn",
        served=(
            served(UVICORN.format(1) + options, workers=1),
            served(UVICORN.format(2) + options, workers=2),
        ),
    )
    several = command(server, Requirements())
    assert several.needs == () and "--workers 2" in several.line
    assert several.line.endswith("--limit-max-requests 10000 --limit-max-requests-jitter 1000")
    (need,) = command(server, Requirements(workers=1)).needs
    assert "process manager" in need


def test_granian_is_told_a_size():
    line = "granian targets.app:app --host 127.0.0.1 --port 1 --workers 2 --workers-max-rss 40"
    found = command(
        known("granian", "rss", served=(served(line, jitter=False),)), Requirements(restart="memory")
    )
    assert found.line.endswith("--workers-max-rss 512")
    assert found.settings["max_rss_mib"] == 512 and found.settings["max_requests"] is None


def test_no_jitter_where_there_is_no_place_for_it():
    line = "hypercorn targets.app:app --bind 127.0.0.1:1 --workers 2 --max-requests 500"
    found = command(known("hypercorn", served=(served(line, jitter=False),)), Requirements())
    assert found.settings["max_requests_jitter"] is None and found.line.endswith("--max-requests 10000")


def test_modules_of_the_suite_that_a_command_needs_are_named():
    line = f"{GUNICORN} --config python:targets.gunicorn_asgi"
    found = command(known("gunicorn-asgi", served=(served(line),)), Requirements())
    assert "--config python:gunicorn_asgi" in found.line
    assert found.needs == ("targets/gunicorn_asgi.py of this suite, copied beside your app",)


def test_preload_and_an_app_of_ones_own_stay():
    line = GUNICORN.replace("targets.app:app", "shop.server:create_app") + " --preload"
    found = command(known(served=(served(line),)), Requirements())
    assert found.line.startswith("gunicorn shop.server:create_app --bind ") and found.settings["preload"]


def test_words_that_a_shell_would_split_are_quoted():
    server = known(served=(served(GUNICORN),))
    words = (*server.served[0].words, "--name", "my app")
    spaced = known(served=(replace(server.served[0], words=words),))
    assert command(spaced, Requirements()).line.endswith("--name 'my app'")


def test_a_number_of_workers_that_the_server_does_not_take_changes_nothing():
    line = "sanic targets.app:app --host 127.0.0.1 --port 1 --single-process"
    server = known("sanic-single", "none", served=(served(line, replacing=False, workers=1),))
    found = command(server, Requirements(restart="none", workers=4))
    assert found.settings["workers"] == 1 and "--workers" not in found.line


def test_without_a_cell_there_is_no_command():
    assert command(known(served=()), Requirements()) is None


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (SANIC, "sanic notes.app:create_app --host 127.0.0.1 --port 8000 --workers 2 --no-motd"),
        (SANIC, "--no-access-logs --factory"),
        (GUNICORN, "gunicorn 'notes.app:create_app()' --bind 127.0.0.1:8000 --workers 2 --worker-class"),
    ],
)
def test_an_app_of_ones_own_is_named_as_its_server_wants_it(line, wanted):
    own = served(line.replace("targets.app", "targets.own"), replacing=False)
    own = replace(own, app="notes.app:create_app()")
    found = command(known(served=(own,)), Requirements(restart="none"))
    assert wanted in found.line and "targets" not in found.line
    assert not any("targets/own.py" in need for need in found.needs)


def test_an_app_of_ones_own_is_named_where_only_the_suites_was_recycled():
    fast = replace(
        served(GUNICORN.replace("targets.app", "targets.own"), replacing=False), app="notes.app:app"
    )
    recycles = served(f"{GUNICORN} --max-requests 500 --max-requests-jitter 50")
    found = command(known(served=(recycles, fast)), Requirements())
    assert found.line.startswith("gunicorn notes.app:app --bind ") and "--max-requests 10000" in found.line
