"""Which engine there is, and which launcher a run takes."""

import psutil
import pytest

from bench.launch.containers import engine
from bench.launch.selection import VARIABLE, choose_launcher
from bench.model.errors import UsageError, UserError


@pytest.fixture
def no_docker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def test_the_plugin_is_taken_before_the_older_program(docker, monkeypatch):
    found = engine.find()
    assert (found.version, found.compose_command) == ("20.10.24", ("docker-compose",))
    monkeypatch.setenv("FAKE_COMPOSE", "plugin")
    assert engine.find().compose_command == ("docker", "compose")
    assert engine.find().compose("p", "build")[:2] == ["docker", "compose"]


def test_without_docker_there_is_no_engine(no_docker):
    with pytest.raises(engine.EngineError, match="Docker is not installed"):
        engine.find()


def test_without_compose_there_is_nothing_to_use(docker, tmp_path):
    (tmp_path / "bin" / "docker-compose").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(engine.EngineError, match="Docker answers, but Docker Compose is missing"):
        engine.find()


def test_what_is_wrong_with_an_engine_is_said(docker):
    docker.note("trouble", "permission")
    with pytest.raises(engine.EngineError, match="may not be used by this user") as caught:
        engine.find()
    assert "groups docker" in str(caught.value).splitlines()[1]
    docker.note("trouble", "down")
    with pytest.raises(engine.EngineError, match="no engine answers: Cannot connect to the Docker daemon"):
        engine.find()


def test_a_client_that_hangs_is_ended():
    before = psutil.Process().children()
    with pytest.raises(engine.EngineError, match=r"`sleep 60` took more than 0\.3 s"):
        engine.run(["sleep", "60"], timeout_s=0.3)
    assert psutil.Process().children() == before


def test_what_a_client_printed_is_returned_and_what_it_complained_of_raised():
    assert engine.run(["sh", "-c", "echo one; echo two >&2"]) == "one"
    with pytest.raises(engine.ClientError, match=r"^two$"):
        engine.run(["sh", "-c", "echo one; echo two >&2; exit 3"])
    with pytest.raises(engine.ClientError, match="ended with status 3"):
        engine.run(["sh", "-c", "exit 3"])


def test_containers_are_taken_where_an_engine_answers(docker):
    launcher, why = choose_launcher(None, environment={})
    assert launcher.name == "compose"
    assert why == (
        "launcher: containers, as Docker answers (Docker 20.10.24, docker-compose 1.29.2); "
        "LAUNCHER=processes for local processes"
    )


def test_else_local_processes_and_the_reason(docker, no_docker):
    launcher, why = choose_launcher(None, environment={})
    assert launcher.name == "processes"
    assert why == "launcher: local processes, no containers (Docker is not installed)"


def test_what_is_asked_for_wins_over_the_environment(docker):
    variable = {VARIABLE: "processes"}
    launcher, why = choose_launcher(None, environment=variable)
    assert (launcher.name, why) == ("processes", "launcher: local processes, as WHICHWORKER_LAUNCHER says")
    launcher, why = choose_launcher("compose", environment=variable)
    assert launcher.name == "compose" and "as asked" in why
    assert docker.calls("version")


def test_nobody_is_asked_who_is_not_needed(docker):
    choose_launcher("processes", environment={})
    assert not (docker.state / "calls").exists()


def test_what_cannot_be_is_an_error_that_says_what_to_do(docker):
    with pytest.raises(UsageError, match='unknown launcher "dokcer"; known: compose, external, processes'):
        choose_launcher("dokcer")
    with pytest.raises(UsageError, match="--port is for local processes, give --launcher processes too"):
        choose_launcher("compose", port=8000)
    assert choose_launcher("processes", port=8000)[0].name == "processes"
    docker.note("trouble", "permission")
    with pytest.raises(UserError, match="may not be used by this user") as caught:
        choose_launcher("compose")
    assert str(caught.value).splitlines()[-1] == "Local processes need no Docker: LAUNCHER=processes"
