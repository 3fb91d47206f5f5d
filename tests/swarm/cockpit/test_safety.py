"""Who may use the web UI, and what it serves."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from tests.patience import LONG_S
from tests.swarm.cockpit.process import FORM, OFFER, later

CHANGING = ("/swarm", "/stop", "/user", "/stats/reset", "/server/report")
VIEWS = (
    "/", "/stats/requests", "/logs", "/exceptions",
    "/server", "/server/offer", "/server/live", "/report/report.html",
)  # fmt: skip


def test_pages_of_other_sites_are_not_answered(cockpit):
    assert cockpit.get("/", Host="evil.example").status == 403
    for path in CHANGING:
        assert cockpit.post(path, FORM, Origin="http://evil.example").status == 403
        assert cockpit.post(path, FORM, Sec_Fetch_Site="cross-site").status == 403
    assert cockpit.post("/stop", Origin=f"http://127.0.0.1:{cockpit.port}").status == 200


def test_a_link_or_an_image_of_another_site_changes_nothing(open_cockpit):
    cockpit = open_cockpit(password="correct horse")
    for path in (*CHANGING, "/server/login"):
        assert cockpit.get(path, Sec_Fetch_Site="cross-site").status == 405, path
    # Nor does anybody log in there.
    form = {"password": "correct horse"}
    for other in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "same-site"}):
        answer = cockpit.post("/server/login", form, **other)
        assert answer.status == 403 and "Set-Cookie" not in answer.headers


def test_every_view_of_locust_that_changes_something_is_known():
    """One that a new version brings, say for the upload of a locustfile, is looked at before it is served."""
    source = Path(find_spec("locust").origin).with_name("web.py").read_text()
    routes = re.findall(r'@app_blueprint\.route\("([^"]+)"(?:, methods=\[([^\]]*)\])?\)', source)
    assert source.count("@app_blueprint.route(") == len(routes)
    assert {path for path, methods in routes if methods} == set(CHANGING) - {"/server/report"}


def test_a_scenario_is_what_its_file_says_and_no_file_can_be_uploaded(cockpit):
    body = '{"user_class_name": "Index", "host": "http://10.0.0.1", "tasks": []}'
    assert cockpit.ask("POST", "/user", body).status == 403
    part = "Content-Disposition: form-data; name=file; filename=../evil.py"
    body = f"--x\r\n{part}\r\n\r\nimport os\r\n--x--\r\n"
    kind = {"Content_Type": "multipart/form-data; boundary=x"}
    for path in ("/upload", "/locustfile", "/report/evil.py", "/server/static/evil.py", "/assets/evil.py"):
        assert cockpit.ask("POST", path, body, **kind).status in (404, 405), path
    assert cockpit.ask("POST", "/swarm", body, **kind).json["success"] is False


def test_no_answer_is_for_other_origins(cockpit):
    for path in (*VIEWS, "/assets/nothing", "/nowhere"):
        headers = cockpit.get(path).headers
        assert not [name for name in headers if name.lower().startswith("access-control")], path
        assert headers["X-Content-Type-Options"] == "nosniff" and "Content-Security-Policy" in headers, path


def test_the_pages_own_policy_is_strict_and_its_files_need_nothing_else(cockpit):
    page = cockpit.get("/server")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    text = page.body.decode()
    assert "<style" not in text and " style=" not in text and not re.search(r"<script(?! src=)", text)
    assert "//" not in re.sub(r"<!doctype html>", "", text), "no other hosts"


def test_a_report_is_served_from_its_folder_only_and_may_not_use_the_web_ui(open_cockpit, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("<p>the report")
    (tmp_path / "run.json").write_text("secret")
    cockpit = open_cockpit(report=str(tmp_path / "report"))
    found = cockpit.get("/report/report.html")
    assert found.status == 200 and b"the report" in found.body
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ") and "allow-same-origin" not in policy and "connect-src" not in policy
    for path in ("../run.json", "%2e%2e/run.json", "..%2frun.json", "//etc/passwd", "%2fetc%2fpasswd", ""):
        answer = cockpit.get(f"/report/{path}")
        assert answer.status in (404, 308) and b"secret" not in answer.body and b"root:" not in answer.body


def test_a_report_is_made_by_bench_when_no_load_runs(open_cockpit, tmp_path, null_server, folder):
    cockpit = open_cockpit(report=str(tmp_path / "report"))
    answer = later(cockpit.post, "/server/report")
    cockpit.send("making", request=cockpit.wait_for("report")["request"])
    assert answer.get(timeout=LONG_S).status == 202 and cockpit.live()["report"]["state"] == "making"
    cockpit.send("reported", failed="the report could not be made:\n  boom")
    told = cockpit.until(lambda told: told["report"]["state"] != "making", "the end")["report"]
    assert told["state"] == "failed" and "boom" in told["reason"]
    cockpit.start(null_server, folder)
    assert cockpit.post("/server/report").status == 409


def test_hostile_words_are_text(open_cockpit):
    hostile = "</script><script>alert(1)</script>"
    choice = {**OFFER["configurations"][0], "summary": hostile}
    page = open_cockpit(configurations=[choice]).get("/").body.decode()
    assert hostile not in page and page.count("<script") == 2  # Locust's own


def test_since_is_checked(cockpit):
    for bad in ("x", "-1", "1e9", "9" * 13, "%D9%A3"):
        assert cockpit.get(f"/server/live?since={bad}").status == 400


def test_a_large_form_is_refused(cockpit):
    assert cockpit.post("/swarm", {**FORM, "configuration": "x" * 100_000}).status == 413


def test_with_a_password_nothing_is_told_before_it_was_given(open_cockpit, tmp_path):
    cockpit = open_cockpit(password="correct horse", report=str(tmp_path))
    for path in VIEWS:
        answer = cockpit.get(path)
        assert answer.status == 302 and answer.headers["Location"].startswith("/login"), path
    for path in ("/swarm", "/stop", "/user", "/server/report"):
        assert cockpit.post(path, FORM).status == 302, path
    assert b"Password" in cockpit.get("/login").body


def test_only_the_password_opens_it(open_cockpit):
    cockpit = open_cockpit(password="correct horse")
    for wrong in ("", "correct horse ", "correct", "ü"):
        answer = cockpit.post("/server/login", {"password": wrong})
        assert answer.headers["Location"] == "/login"
    answer = cockpit.post("/server/login", {"password": "correct horse"})
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    cockpit.cookie = cookie.partition(";")[0]
    for path in ("/", "/server", "/server/live", "/stats/requests"):
        assert cockpit.get(path).status == 200, path
    assert cockpit.get("/server/live", Host="evil.example").status == 403
