"""The Compose file and the image recipe say what the catalogue and the contract say. No engine is needed."""

import fnmatch
import re
from pathlib import Path

import pytest
import yaml

from bench.model.plans.proxy import PROXIES
from targets.catalogue.configurations import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "targets/Dockerfile").read_text()
CATALOGUE = load()

VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
FOR_BENCH = {f"bench-{stack}" for stack in CATALOGUE.pinned} | {
    "bench-postgres",
    "bench-nginx",
    "bench-haproxy",
    "loopback",
    "suite",
}
OTHERS = FOR_BENCH | {"postgres", "ui-target", "ui", "bench"}
FIRST_PORT = 8001


def services(**environment):
    """The services as Compose understands them under these variables."""
    text = VARIABLE.sub(lambda match: environment.get(match[1]) or match[2], TEXT)
    return yaml.safe_load(text)["services"]


SERVICES = services()


def texts(value):
    """Every text in a value of YAML."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        return [text for entry in value for text in texts(entry)]
    return [value] if isinstance(value, str) else []


def stages():
    """The instructions of each stage of the image recipe, by its name."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    instructions = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    found = {}
    for instruction in filter(None, instructions):
        if instruction.startswith("FROM "):
            found[instruction.split()[-1]] = current = [instruction]
        elif found:
            current.append(instruction)
    return found


STAGES = stages()
IMAGES = ("stack", "suite", "bench")


def sources(*names):
    """What the stages of these names (all, if there are none) copy from the build context."""
    copies = [i.split()[1:-1] for name in names or STAGES for i in STAGES[name] if i.startswith("COPY ")]
    return [source for words in copies if not words[0].startswith("--from=") for source in words]


def test_every_configuration_is_a_service_and_every_service_is_known():
    named = set(CATALOGUE.declared)
    missing, unknown = named - set(SERVICES), set(SERVICES) - named - OTHERS
    assert not missing, f"docker-compose.yml lacks a service for {', '.join(sorted(missing))}"
    assert not unknown, f"docker-compose.yml has services nobody knows: {', '.join(sorted(unknown))}"
    assert set(SERVICES) >= OTHERS


@pytest.mark.parametrize("name", CATALOGUE.declared)
def test_a_configuration_is_served_by_its_name_from_its_stack(name):
    service, stack = SERVICES[name], CATALOGUE.declared[name].stack
    port = FIRST_PORT + list(CATALOGUE.declared).index(name)
    assert service["command"] == [name]
    assert service["ports"] == [f"127.0.0.1:{port}:8000"]
    assert service["image"] == f"whichworker-{stack}:latest"
    assert service["build"]["args"]["STACK"] == stack
    assert "network_mode" not in service
    assert service["healthcheck"]["test"] == ["CMD", "/opt/stack/bin/python", "-m", "targets.health"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "bench"])
def test_a_service_can_do_no_more_than_it_must(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["stop_grace_period"]
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["user"] in ("1000:1000", "postgres")
    assert service.get("network_mode", "").partition(":")[0] in ("", "none", "service")
    assert not service.get("pid")  # bench gives the suite's programs the host's, to read servers' clocks
    assert not service.keys() & {"privileged", "cap_add", "devices", "ipc", "volumes", "group_add"}


def test_the_suite_in_one_container_may_become_its_owner_and_nothing_else():
    service = SERVICES["bench"]
    assert (service["cap_drop"], service["cap_add"]) == (["ALL"], ["SETUID", "SETGID"])
    assert service["security_opt"] == ["no-new-privileges:true"] and service["init"] is True
    assert service["volumes"] == [".:/checkout"] and service["command"] == ["run"]
    assert not service.keys() & {"privileged", "devices", "ipc", "pid", "network_mode", "ports", "cpuset"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_only_when_asked_for(name):
    (profile,) = SERVICES[name]["profiles"]
    expected = "bench" if name in FOR_BENCH else "targets" if name in CATALOGUE.declared else None
    assert profile == (expected or {"postgres": "database", "bench": "one-container"}.get(name, "ui"))


def test_ports_are_published_to_this_machine_only_and_once():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports), ports
    published = [port.split(":")[1] for port in ports]
    assert len(published) == len(set(published))


def test_servers_and_what_loads_them_are_on_other_cpus():
    for name, service in SERVICES.items():
        server = name in CATALOGUE.declared or name == "ui-target"
        server |= name in {f"bench-{stack}" for stack in CATALOGUE.pinned}
        # Within its one container bench splits what there is itself.
        assert service.get("cpuset") == (None if name == "bench" else "0" if server else "1"), name


@pytest.mark.parametrize("stack", CATALOGUE.pinned)
def test_bench_measures_what_people_are_served(stack):
    """The service for bench differs from that of a configuration in nothing that is not said here."""
    configuration = next(c.name for c in CATALOGUE.declared.values() if c.stack == stack)
    ours, theirs = dict(SERVICES[f"bench-{stack}"]), dict(SERVICES[configuration])
    assert ours.pop("network_mode") == "none"
    assert ours.pop("healthcheck") == {"disable": True}
    assert ours.pop("environment") == {}
    for service in (ours, theirs):
        for key in ("profiles", "command", "ports", "healthcheck", "environment"):
            service.pop(key, None)
    assert ours == theirs


def test_bench_can_put_everything_into_one_namespace_that_reaches_nothing():
    together = services(WHICHWORKER_NETWORK="container:abc")
    assert SERVICES["loopback"]["network_mode"] == "none"
    for name in FOR_BENCH:
        assert together[name]["network_mode"] == ("none" if name == "loopback" else "container:abc")
        assert "ports" not in together[name]
        assert together[name].get("healthcheck", {"disable": True}) == {"disable": True}


def test_the_database_of_bench_is_that_of_people():
    ours, theirs = SERVICES["bench-postgres"], SERVICES["postgres"]
    for key in ("image", "command", "environment", "tmpfs", "mem_limit", "stop_signal"):
        assert ours[key] == theirs[key]
    assert "ports" not in theirs


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_is_an_image_as_it_comes_of_which_the_program_is_run(kind):
    service = SERVICES[f"bench-{kind}"]
    assert service["entrypoint"] == [kind] and "command" not in service and "build" not in service
    assert service["image"].startswith(f"{kind}:")
    chosen = services(**{f"WHICHWORKER_{kind.upper()}": "our-own:1"})
    assert chosen[f"bench-{kind}"]["image"] == "our-own:1"


def test_the_ui_loads_its_target_over_loopback():
    target, ui = SERVICES["ui-target"], SERVICES["ui"]
    assert ui["network_mode"] == "service:ui-target"
    assert ui["depends_on"] == {"ui-target": {"condition": "service_healthy"}}
    assert target["command"] == ["sanic"]
    assert target["ports"] == ["127.0.0.1:8089:8089"]
    assert services(CONFIGURATION="granian")["ui-target"]["command"] == ["granian"]


def test_the_ui_offers_a_scenario_that_is_there():
    command = SERVICES["ui"]["command"]
    assert (ROOT / command[command.index("--locustfile") + 1]).is_file()


def test_every_variable_is_said_to_people():
    """What bench sets is in the head of the file, what people set in docs/compose.md or where it is used."""
    head = TEXT.partition("\n\n")[0]
    told = head + (ROOT / "docs/compose.md").read_text()
    assert {
        name for name, _ in VARIABLE.findall(TEXT) if name not in told and not name.endswith("_SUITE")
    } == set()


def test_variables_are_written_as_either_compose_reads_them():
    """docker-compose 1.29 reads a text with two variables as one with a strange default."""
    found = [text for text in texts(yaml.safe_load(TEXT)) if "$" in text]
    assert found
    for text in found:
        assert text.count("$") == 1, text
        assert VARIABLE.search(text), text


def test_the_default_images_have_the_python_that_local_processes_prefer():
    preferred = {f"bench-{name}": stack.pythons[0] for name, stack in CATALOGUE.pinned.items()}
    for service, python in {**preferred, "suite": preferred["bench-current"]}.items():
        arguments = SERVICES[service]["build"]["args"]
        assert arguments["PYTHON"] == python
        assert arguments["BASE"].startswith(f"python:{arguments['PYTHON']}-")


@pytest.mark.parametrize("name", [name for name in SERVICES if "build" in SERVICES[name]])
def test_an_image_is_built_from_the_recipe(name):
    build = SERVICES[name]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]) == ROOT / "targets/Dockerfile"
    stack = build["args"]["STACK"]
    assert build["target"] == ("bench" if name == "bench" else "suite" if stack == "suite" else "stack")
    assert SERVICES[name]["image"].startswith(f"whichworker-{'bench' if name == 'bench' else stack}:")
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(build["args"]) == declared


@pytest.mark.parametrize("stack", CATALOGUE.pinned)
def test_the_recipe_copies_the_requirements_of_every_stack(stack):
    requirements = CATALOGUE.stacks[stack].requirements.relative_to(ROOT).as_posix()
    assert Path(requirements).stem == stack, "the recipe takes a stack's requirements by its name"
    assert any(fnmatch.fnmatch(requirements, source) for source in sources("environment"))


def test_the_recipe_installs_before_it_copies_code():
    code = {"targets/", "swarm/", "locustfiles/"}
    assert not code & set(sources("environment"))
    assert code == set(sources("code", "stack", "suite"))


def test_the_recipe_copies_nothing_that_the_build_context_lacks():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    sent = [line[1:] for line in lines if line.startswith("!")]
    for source in sources():
        inside = [source.rstrip("/"), *map(str, Path(source).parents)]
        assert set(inside) & set(sent), f".dockerignore keeps {source} away"
        assert list(ROOT.glob(source.rstrip("/"))), f"there is no {source}"
    for path in sent:
        assert any(path == source.rstrip("/") for source in sources()), f"{path} is sent for nothing"


@pytest.mark.parametrize("stage", IMAGES)
def test_the_hash_of_the_sources_invalidates_no_other_layer(stage):
    assert STAGES[stage][-2:] == ["ARG SOURCES=unknown", "LABEL whichworker.sources=${SOURCES}"]
    before = [line for name, lines in STAGES.items() for line in lines if name not in IMAGES]
    assert not [line for line in before + STAGES[stage][:-2] if "SOURCES" in line]


@pytest.mark.parametrize("stage", ["stack", "suite"])
def test_an_image_runs_as_nobody_special(stage):
    assert STAGES[stage][0] == f"FROM code AS {stage}"
    assert [line for line in STAGES[stage] if line.startswith("USER ")] == ["USER 1000:1000"]


def test_the_entry_points_are_those_that_bench_goes_by():
    def entry(stage):
        (line,) = [line for line in STAGES[stage] if line.startswith("ENTRYPOINT ")]
        return " ".join(yaml.safe_load(line.partition(" ")[2]))

    served = "--host 0.0.0.0 --port 8000 --metrics /tmp/metrics --startup-timeout 120"
    assert entry("stack") == f"/opt/stack/bin/python -m targets.serve {served}"
    assert entry("suite") == "/opt/stack/bin/python"
    own = "/opt/stack/bin/python -m bench.machine.owner /checkout/results"
    assert entry("bench") == f"{own} /opt/stack/bin/python -m bench"


def test_the_classic_builder_can_build_the_recipe():
    assert not re.findall(r"^# *syntax|--mount|--link|--chmod|--network|<<|^ADD ", DOCKERFILE, re.MULTILINE)
