"""The web UI with its servers and its load in containers, on the stand-in for Docker."""

from tests.bench.studies.cockpit.ui import CATALOGUE, Ui


def test_what_is_chosen_is_served_in_a_container_and_recorded(tmp_path, docker, current):
    catalogue = tmp_path / "configurations.toml"
    catalogue.write_text(CATALOGUE)
    ui = Ui(tmp_path / "results", "--launcher", "compose", "--catalogue", str(catalogue))
    try:
        assert ui.url, ui.said
        assert "launcher: containers, as asked" in ui.said
        assert docker.named("suite") and docker.named("loopback")
        assert ui.start(configuration="broken")["message"].count("these are my last words") == 1
        assert ui.start()["success"] is True
        server = docker.named("bench-current")
        ui.measured()
        ui.stop()
        cell, folder = ui.recorded()
        assert (cell["status"], cell["launcher"]) == ("finished", "compose")
        assert cell["measured"]["requests"] > 0 and (folder / "latency.csv").exists()
        ui.until(lambda _: server not in docker.containers(), "the server's container is gone")
        assert ui.run()["launcher"] == "compose"
        assert ui.end() == 0
    finally:
        ui.close()
    assert docker.containers() == {} and not docker.networks()
    assert not list(folder.parents[3].glob(".serve-*"))
