"""The example of targets/README.md is what the page says it is."""

import re
import shutil

from targets.catalogue.configurations import CONFIGURATIONS, load
from targets.catalogue.recycling import Recycling

from ..conftest import PROJECT


def test_the_example_fits_into_the_catalogue(tmp_path):
    page = (PROJECT / "targets" / "README.md").read_text()
    example, variant = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shutil.copytree(CONFIGURATIONS.parent / "stacks", tmp_path / "stacks")
    catalogue = tmp_path / "configurations.toml"
    catalogue.write_text(CONFIGURATIONS.read_text() + example)
    configuration = load(catalogue).get("uvicorn-pure")
    command = configuration.command(
        host="127.0.0.1", port=8000, workers=1, app="a:b", recycling=Recycling(max_requests=9)
    )
    assert command[:2] == ["uvicorn", "a:b"]
    assert command[-2:] == ["--limit-max-requests", "9"]
    assert set(re.findall(r"targets\.serve (\S+)", page)) - {"--app"} == {configuration.name}
    catalogue.write_text(variant)
    assert load(catalogue).get("uvicorn-quiet").argv[-2:] == ("--log-level", "error")
