"""The certificate of a run: servers present it, the suite's programs trust it, and nobody else does."""

import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from bench.launch.local import Processes
from bench.launch.proxy import Proxy
from bench.launch.server import Options, ServerError
from tests.patience import LONG_S

PROGRAM = "import os, sys; sys.stdout.write(os.environ['WHICHWORKER_AUTHORITY'])"


def test_clients_that_trust_the_authority_of_the_run_meet_its_servers(tmp_path, current, catalogue):
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        launcher.certify(tmp_path / "tls")
        server = launcher.start(catalogue.get("uvicorn-tls"), 1, tmp_path / "m", [0])
        program = launcher.start_program(["-c", PROGRAM], [0], stdout=subprocess.PIPE)
        authority = program.communicate(timeout=LONG_S)[0].decode()
        assert server.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=authority)
        with urllib.request.urlopen(f"{server.url}/index", timeout=LONG_S, context=trusting) as answer:
            assert answer.read() == b"Hello, world!"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{server.url}/index", timeout=LONG_S)


def test_a_server_that_speaks_tls_is_not_asked_through_a_proxy(tmp_path, current, catalogue):
    options = Options(proxy=Proxy("nginx", "nginx", "1.26", (0,)))
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        launcher.certify(tmp_path / "tls")
        with pytest.raises(
            ServerError, match="uvicorn-tls speaks TLS, and the proxy asks servers without it"
        ):
            launcher.start(catalogue.get("uvicorn-tls"), 1, tmp_path / "m", [0], options)
