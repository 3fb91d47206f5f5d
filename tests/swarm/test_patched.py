"""What importing Locust through the suite leaves as it was."""

import os
import subprocess
import sys

from bench.model.files import ROOT

PLUGIN = "[gevent.plugins.monkey.did_patch_all]\nmine = told:told\n"


def test_packages_that_want_to_know_of_the_patches_are_told(tmp_path):
    (tmp_path / "told.py").write_text("def told(event):\n    print('told of', type(event).__name__)\n")
    (tmp_path / "told-1.0.dist-info").mkdir()
    (tmp_path / "told-1.0.dist-info" / "METADATA").write_text("Name: told\nVersion: 1.0\n")
    (tmp_path / "told-1.0.dist-info" / "entry_points.txt").write_text(PLUGIN)
    script = (
        "from importlib import metadata\nbefore = metadata.entry_points\nimport swarm, socket\n"
        "assert metadata.entry_points is before\nprint(socket.socket.__module__)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    found = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert found.stdout.splitlines() == ["told of GeventDidPatchAllEvent", "gevent._socket3"], found.stderr
