"""The manifests: what the API takes, what the images have, what fits. No cluster runs them here."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml

from bench.cli.main import app
from targets.catalogue.configurations import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OBJECTS = [each for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
# The oldest and the newest API that they are for.
VERSIONS = ("1.28", "1.37")


def named(kind, name):
    (found,) = (o for o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == f"whichworker-{name}")
    return found


PODS = {each["spec"]["template"]["metadata"]["labels"]["part"]: each["spec"]["template"]["spec"]
        for each in OBJECTS if "template" in each["spec"]}  # fmt: skip
CONTAINERS = {part: pod["containers"][0] for part, pod in PODS.items()}


def ident(each):
    return f"{each['kind']}-{each['metadata']['name']}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("each", OBJECTS, ids=ident)
def test_the_api_takes_it(each, version):
    # It takes the schemas of an older version where it has none of this one.
    assert kubernetes_validate.validate(each, version, strict=True) == version


def test_the_schemas_would_refuse_a_slip_of_the_pen():
    wrong = yaml.safe_load((FOLDER / "workers.yaml").read_text().replace("parallelism", "paralelism"))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_there_is_a_server_a_master_and_workers():
    assert set(PODS) == {"server", "master", "worker"}
    assert named("Job", "worker")["spec"]["completionMode"] == "Indexed"


@pytest.mark.parametrize("part", PODS)
def test_a_pod_can_do_no_more_than_it_must(part):
    pod, container = PODS[part], CONTAINERS[part]
    assert pod["automountServiceAccountToken"] is False
    # Else the cluster sets variables by the names of services, such as bench might take for its own.
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


@pytest.mark.parametrize("part", PODS)
def test_cpus_are_whole_and_its_own(part):
    resources = CONTAINERS[part]["resources"]
    assert resources["requests"] == resources["limits"] and resources["limits"]["cpu"].isdigit()


@pytest.mark.parametrize("part", PODS)
def test_an_image_is_one_that_compose_builds(part):
    images = set(re.findall(r'image: "(whichworker-[^:"]+):', (ROOT / "docker-compose.yml").read_text()))
    name, _, tag = CONTAINERS[part]["image"].partition(":")
    assert name in images and tag == "latest"


def test_the_server_is_a_configuration_of_its_image():
    name, *_ = CONTAINERS["server"]["args"]
    assert CONTAINERS["server"]["image"] == f"whichworker-{load().get(name).stack}:latest"


@pytest.mark.parametrize("part", ["master", "worker"])
def test_a_command_is_one_that_bench_knows(part):
    group = typer.main.get_command(app)
    name, *arguments = CONTAINERS[part]["args"]
    group.commands[name].make_context(name, list(arguments))  # which parses them, and runs nothing


def test_those_who_call_each_other_by_name_find_each_other():
    master, worker = (CONTAINERS[part]["args"] for part in ("master", "worker"))
    assert f"--url=http://{named('Service', 'server')['metadata']['name']}:8000" in master
    assert worker[worker.index("--master") + 1] == named("Service", "master")["metadata"]["name"]
    jobs = named("Job", "worker")["spec"]
    assert jobs["completions"] == jobs["parallelism"]
    assert f"--expect-generators={jobs['completions']}" in master
    # What stands in $(…) is a variable of the container.
    assert {"POD_IP"} == {each["name"] for each in CONTAINERS["master"]["env"]}
    assert re.findall(r"\$\((\w+)\)", " ".join(master)) == ["POD_IP"]


@pytest.mark.parametrize("each", [o for o in OBJECTS if o["kind"] == "Service"], ids=ident)
def test_a_service_leads_to_a_port_of_its_pod(each):
    container = CONTAINERS[each["spec"]["selector"]["part"]]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for port in each["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]


def test_what_is_mounted_is_there():
    for part, pod in PODS.items():
        assert {m["name"] for m in CONTAINERS[part]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert named("PersistentVolumeClaim", "results")
