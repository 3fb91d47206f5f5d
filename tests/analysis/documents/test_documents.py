"""What runs put into the project's documents, between their markers."""

import json
import re
from dataclasses import replace

import pytest

from analysis.charts import registry
from analysis.claims import answers
from analysis.documents import pages
from analysis.documents.pages import EXPERIMENTS, PAGES, PRICE, document_of, part_of, rewrite
from analysis.study import Study, study
from bench.model.errors import UserError
from bench.model.files import ROOT
from tests.analysis.report_page import list_charts
from tests.fixtures.make_recycling import STORIES, Lost, Story, generation, make_recycling

END = "<!-- /measured -->"
FEW_RANKINGS = {"throughput": "requests per second"}
OF_MACHINE = (pages.VERDICT, pages.SITUATIONS, pages.RANKINGS, pages.CLAIMS)


def marks(*parts):
    """The text of a document with a part for each name, and words around them."""
    return (
        "before\n"
        + "".join(f"{begin(part)}\nbefore this run\n{END}\nbetween\n" for part in parts)
        + "after\n"
    )


def begin(part):
    return f"<!-- measured: {part} -->"


def shown(path, part):
    return path.read_text(encoding="utf-8").partition(f"{begin(part)}\n")[2].partition(END)[0]


@pytest.fixture
def project(tmp_path):
    """A project with its documents, whose parts say "before this run"."""
    (tmp_path / "docs").mkdir()
    (tmp_path / pages.README).write_text(marks(pages.ANSWER))
    (tmp_path / pages.MACHINE).write_text(marks(*OF_MACHINE))
    (tmp_path / pages.RECYCLING).write_text(marks("recycling", pages.PRICES, *EXPERIMENTS))
    return tmp_path


@pytest.fixture
def rendered(run):
    """A run with the chart that a report would hold."""
    folder = run(configurations=("sanic", "uvicorn"))
    (folder / "report").mkdir()
    for name in FEW_RANKINGS:
        (folder / "report" / f"{name}.png").write_bytes(name.encode())
    list_charts(folder / "report", **FEW_RANKINGS)
    return folder


def test_the_measured_parts_are_replaced_and_the_rest_stays(rendered, project):
    assert pages.main([str(rendered)], project) == 0
    analysed = study(rendered)
    for name in (pages.README, pages.MACHINE):
        text = (project / name).read_text(encoding="utf-8")
        assert (
            text.startswith("before\n")
            and text.endswith(f"{END}\nbetween\nafter\n")
            and "before this run" not in text
        )
        for chart in FEW_RANKINGS:
            folder = "docs/figures" if name == pages.README else "figures"
            assert f"]({folder}/{chart}.png)" in text
    ranked = shown(project / pages.MACHINE, pages.RANKINGS)
    assert analysed.verdict.finding in ranked
    for table in analysed.verdict.tables:
        for row in table.rows:
            ratio, served = row.cells()[2:4]
            assert (ratio if ratio.detail else served).text in ranked  # the best has no ratio but to itself
    assert "launcher processes" in ranked and "make bench PLAN=" in ranked
    for name in FEW_RANKINGS:
        assert (project / "docs" / "figures" / f"{name}.png").read_bytes() == name.encode()
    assert "No run of recycling was read" in shown(project / pages.MACHINE, pages.VERDICT)


def test_twice_is_the_same_as_once(rendered, project):
    rewrite(study(rendered), project)
    once = [(project / name).read_text(encoding="utf-8") for name in (pages.README, pages.MACHINE)]
    rewrite(study(rendered), project)
    assert [(project / name).read_text(encoding="utf-8") for name in (pages.README, pages.MACHINE)] == once


@pytest.mark.parametrize("lacking", [pages.README, pages.MACHINE])
def test_documents_are_left_alone_if_one_lacks_its_markers(rendered, project, lacking, capsys):
    (project / lacking).write_text("nothing to replace")
    before = [(project / name).read_text() for name in (pages.README, pages.MACHINE)]
    assert pages.main([str(rendered)], project) == 1
    assert "lacks the line" in capsys.readouterr().err
    assert [(project / name).read_text() for name in (pages.README, pages.MACHINE)] == before


def test_a_run_without_a_report_says_what_to_do(run, project):
    with pytest.raises(UserError, match="make report"):
        rewrite(study(run(configurations=("sanic",))), project)


def test_it_says_how_it_is_called(capsys):
    assert pages.main([]) == 2
    assert "RUN_DIR" in capsys.readouterr().err


@pytest.fixture
def recycled(tmp_path):
    """A run of recycling with one of the charts of a report; its fewest workers leak nothing."""
    folder = make_recycling(tmp_path / "results" / "run", STORIES)
    (folder / "report").mkdir()
    (folder / "report" / "price_index.png").write_bytes(b"price")
    list_charts(folder / "report", price_index=PRICE)
    return folder


def test_a_run_of_recycling_goes_between_marks_of_its_own(recycled, project):
    analysed = study(recycled)
    rewrite(analysed, project)
    path = project / pages.RECYCLING
    text, part = path.read_text(encoding="utf-8"), shown(path, "recycling")
    assert "before this run" not in part and text.count("before this run") == 1 + len(EXPERIMENTS)
    assert text.endswith(f"{END}\nbetween\nafter\n")
    assert analysed.recycling.finding in part
    for row in analysed.recycling.configurations:
        told = re.sub(r"\b\d+ workers?: ", "", " | ".join(row.texts()))  # which the heads of columns say
        assert f"| {told} |" in part
    assert "Imagined CPU" in part and "95 % over replacements" in part
    assert "](figures/price_index.png)" in part and "memory_recycled" not in part
    assert (project / "docs" / "figures" / "price_index.png").read_bytes() == b"price"


def test_a_run_of_recycling_without_a_report_says_what_to_do(recycled, project):
    (recycled / "report").rename(recycled / "elsewhere")
    with pytest.raises(UserError, match="make report RUN=run"):
        rewrite(study(recycled), project)


def test_a_chart_that_leads_out_of_its_run_is_not_copied(recycled, project, tmp_path):
    drawn, secret = recycled / "report" / "price_index.png", tmp_path / "secret.png"
    drawn.rename(secret)
    drawn.symlink_to(secret)
    with pytest.raises(UserError, match=r"price_index\.png leads to .*secret\.png, out of "):
        rewrite(study(recycled), project)
    assert not (project / "docs" / "figures" / "price_index.png").exists()


def test_the_command_of_a_narrowed_run_of_recycling_says_to_what(recycled, project):
    recycling = {"max_requests": 500, "replacements": 8}
    narrowed = of_plan(study(recycled), {"name": "recycle", "workers": [2], "recycling": recycling})
    rewrite(narrowed, project)
    text = shown(project / pages.RECYCLING, "recycling")
    assert "by `make recycle PLAN=recycle " in text
    assert " WORKERS=2 " in text and " REPLACEMENTS=8` in " in text


def test_what_each_n_costs_stands_beside_which_n_to_choose(recycled, project):
    list_charts(recycled / "report", price_of_n_index_w1=pages.EACH_N)
    (recycled / "report" / "price_of_n_index_w1.png").write_bytes(b"each")
    rewrite(of_plan(study(recycled), {"name": "price"}), project)
    text = shown(project / pages.RECYCLING, "price")
    assert "](figures/plan_price_of_n_index_w1.png)" in text and "by `make recycle PLAN=price" in text
    (drawn,) = (each for each in registry.read(recycled / "report") if each.caption == pages.EACH_N)
    assert f"**{drawn.title}**" in text and "|" not in text
    assert (project / "docs" / "figures" / "plan_price_of_n_index_w1.png").read_bytes() == b"each"


def of_plan(analysed, plan):
    """The same run, of another plan."""
    run = analysed.results.run.model_copy(update={"plan": analysed.results.run.plan | plan})
    return Study(replace(analysed.results, run=run))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_goes_between_marks_of_its_own_without_tables(recycled, project, name):
    experiment = of_plan(study(recycled), {"name": name})
    rewrite(experiment, project)
    path = project / pages.RECYCLING
    assert shown(path, "recycling") == "before this run\n"
    assert experiment.recycling.finding in shown(path, name) and "|" not in shown(path, name)
    assert "by `make recycle PLAN=" in shown(path, name)


def test_an_experiment_on_one_configuration_has_marks_of_its_own(recycled):
    plan = {"name": "recycle-busy", "configurations": ["granian"]}
    assert part_of(of_plan(study(recycled), plan)) == "recycle-busy granian"


def test_a_plan_with_a_page_of_its_own_goes_there_in_short(rendered, project):
    record = json.loads((rendered / "run.json").read_text())
    record["plan"]["name"] = "database"
    (rendered / "run.json").write_text(json.dumps(record))
    analysed = study(rendered)
    assert document_of(analysed) == PAGES["database"]
    path = project / PAGES["database"]
    path.parent.mkdir(parents=True)
    path.write_text(marks("database"))
    rewrite(analysed, project)
    text = path.read_text(encoding="utf-8")
    assert analysed.verdict.finding in text and "make bench PLAN=" in text
    assert "before this run" not in text and "![" not in text and "|" not in text


BEHIND = (Story("sanic", generation(11, 1.0), lost=[Lost(0.5)]), Story("granian", generation(11, 1.0)))


def behind_nginx(folder, lost, twice=(), **settings):
    """A run of recycling behind nginx and past it, which was set so; behind it sanic loses so many."""
    story, other = (replace(each, proxy="nginx") for each in BEHIND)
    proxied = replace(story, lost=[Lost(0.5 + number, "http_5xx") for number in range(lost)], twice=twice)
    return make_recycling(folder, [*BEHIND, proxied, other], {"name": "recycle-proxy", **settings})


def test_a_run_behind_a_proxy_goes_to_the_page_about_it(tmp_path, project):
    """Without the tables of recycling, which hold one side only."""
    analysed = study(behind_nginx(tmp_path / "results" / "run", 1))
    (analysed.results.directory / "report").mkdir()
    assert (document_of(analysed), part_of(analysed)) == (pages.PROXY, "recycle-proxy nginx")
    path = project / pages.PROXY
    path.write_text(marks("recycle-proxy nginx", "proxy-settings nginx"))
    rewrite(analysed, project)
    text = shown(path, "recycle-proxy nginx")
    assert shown(path, "proxy-settings nginx") == "before this run\n"
    assert analysed.proxied.finding in text and analysed.recycling.finding not in text
    assert text.count("\n| sanic |") == 1


def test_the_settings_of_a_proxy_stand_beside_each_other(tmp_path, project):
    results = tmp_path / "results"
    behind_nginx(results / "default", 1)
    behind_nginx(results / "earlier", 5, proxy_retries="off")
    tls = {"proxy_socket": "unix", "proxy_tls": True}
    for name, lost, settings in (("retries", 3, {"proxy_retries": "off"}), ("tls", 0, tls)):
        folder = behind_nginx(results / name, lost, twice=[7.2], **settings)
    earlier = results / "earlier" / "run.json"
    record = json.loads(earlier.read_text())
    earlier.write_text(json.dumps(record | {"started": record["started"] - 60}))
    analysed = study(folder)
    assert (document_of(analysed), part_of(analysed)) == (pages.PROXY, "proxy-settings nginx")
    path = project / pages.PROXY
    path.write_text(marks("recycle-proxy nginx", "proxy-settings nginx"))
    rewrite(analysed, project)
    assert shown(path, "recycle-proxy nginx") == "before this run\n"
    text = shown(path, "proxy-settings nginx")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rows = {first: others for first, *others in lines}
    assert rows["| nginx's settings"] == ["lost of GETs", "ran twice |"]
    assert rows["| by default"] == ["50.0 (0 with granian to 100 with sanic)", "0 |"]
    assert rows["| retries=off"][0] == "150 (0 with granian to 300 with sanic)"
    assert rows["| socket=unix, tls"] == ["0", "50.0 (0 with granian to 100 with sanic) |"] and len(rows) == 4
    assert "PROXY_RETRIES" not in text and "`make recycle PLAN=recycle-proxy " in text


def test_a_deploy_behind_a_proxy_is_among_the_deploys(recycled):
    analysed = of_plan(study(recycled), {"name": "deploy-proxy", "proxy": "haproxy"})
    assert (document_of(analysed), part_of(analysed)) == (pages.DEPLOYS, "deploy-proxy haproxy")


@pytest.fixture
def answered(run):
    """A run of each kind beside each other, whose reports have their charts."""
    folder = run(configurations=("sanic", "uvicorn", "sanic-single"))
    stories = [
        Story(name, generation(11, 1.0), scenario=scenario, keep_alive=scenario == "index", repeat=repeat)
        for name in ("sanic", "uvicorn")
        for scenario in ("index", "index-close")
        for repeat in (1, 2)
    ]
    priced = make_recycling(folder.parent / "recycle", stories)
    for one, name in ((folder, "throughput"), (priced, "price_index")):
        (one / "report").mkdir()
        (one / "report" / f"{name}.png").write_bytes(name.encode())
        list_charts(one / "report", **{name: PRICE if one is priced else FEW_RANKINGS[name]})
    return folder


def test_the_answers_are_those_of_the_run_and_of_the_recycling_beside_it(answered, project):
    assert pages.main([str(answered)], project) == 0
    readme, machine = project / pages.README, project / pages.MACHINE
    answer = shown(readme, pages.ANSWER)
    assert "**Use sanic: it" in answer and "sanic app:app --host 127.0.0.1 --port 8000 --workers 1" in answer
    assert "`run`, by `make bench PLAN=synthetic" in answer and "`recycle`, by `make recycle" in answer
    (figures,) = [line for line in answer.splitlines() if line.startswith("| sanic |")]
    served = next(row for row in study(answered).verdict.tables[0].rows if row.configuration == "sanic")
    assert served.texts()[2] in figures and "recycles" in figures
    assert "| sanic-single | failed |" in shown(machine, pages.VERDICT)
    situations = shown(machine, pages.SITUATIONS).splitlines()
    assert "| sanic | uvicorn: " in situations[2] and situations[2].endswith("|  |")
    assert "| none so far; " in situations[3] and "`--survive-kill`" in situations[3]
    assert not any("--p99-ms" in line for line in situations)  # there is no open loop
    for name in ("throughput", "price_index"):
        assert f"](figures/{name}.png)" in shown(machine, pages.RANKINGS)
        assert (project / "docs" / "figures" / f"{name}.png").read_bytes() == name.encode()
    claimed = shown(machine, pages.CLAIMS)
    assert claimed.count("\n| ") == 1 + len(answers._CLAIMS) and "`make replay`" in claimed


def test_the_answer_has_that_of_clients_behind_a_proxy_as_well(answered, project):
    """Of a run of recycling behind it; nothing is said of proxies without one."""
    make_recycling(answered.parent / "behind", [*BEHIND, *(replace(each, proxy="nginx") for each in BEHIND)])
    assert pages.main([str(answered)], project) == 0
    answer = shown(project / pages.README, pages.ANSWER)
    assert '**Behind nginx** (`make verdict ARGUMENTS="--behind nginx"`): Use sanic' in answer
    assert "haproxy" not in answer and "(`behind`, by `make recycle" in answer
    direct, behind, *_ = shown(project / pages.MACHINE, pages.SITUATIONS).splitlines()[2:]
    assert "nginx" not in direct and behind.startswith("| the first, for clients that come through nginx | ")
    assert behind.endswith("| `--behind nginx` |")


def test_proxies_of_one_answer_stand_together(answered, project):
    for proxy in ("nginx", "haproxy"):
        cells = [*BEHIND, *(replace(each, proxy=proxy) for each in BEHIND)]
        make_recycling(answered.parent / f"behind-{proxy}", cells)
    assert pages.main([str(answered)], project) == 0
    (behind,) = [line for line in (project / pages.README).read_text().splitlines() if "**Behind" in line]
    commands = '`make verdict ARGUMENTS="--behind nginx"` or `make verdict ARGUMENTS="--behind haproxy"`'
    assert behind.startswith(f"**Behind nginx and haproxy** ({commands}): ")


def test_without_recycling_beside_it_the_answer_says_so(answered, project):
    (answered.parent / "recycle" / "run.json").unlink()
    assert pages.main([str(answered)], project) == 0
    assert "No run of recycling was read" in shown(project / pages.MACHINE, pages.VERDICT)
    assert "price_index" not in shown(project / pages.MACHINE, pages.RANKINGS)


def test_the_projects_documents_have_been_filled():
    answer = shown(ROOT / pages.README, pages.ANSWER)
    assert "```sh\n" in answer and "Read: performance" in answer
    ranked = shown(ROOT / pages.MACHINE, pages.RANKINGS)
    assert "Measured on" in ranked and "| load | ranked by |" in ranked
    for folder, text in ((ROOT, answer), (ROOT / "docs", ranked)):
        charts = re.findall(r"\]\((\S+\.png)\)", text)
        assert charts and all((folder / chart).stat().st_size > 10_000 for chart in charts)
    assert "| configuration | requirements | why |" in shown(ROOT / pages.MACHINE, pages.VERDICT)
    for option in ("`--survive-kill`", "`--first memory`"):  # any run can answer these
        assert option in shown(ROOT / pages.MACHINE, pages.SITUATIONS)
    # Those about settings are there as well, if a run has tried them.
    assert shown(ROOT / pages.MACHINE, pages.CLAIMS).count("\n| ") >= 1 + len(answers._CLAIMS)
    assert "Measured on" in shown(ROOT / pages.RECYCLING, "recycling")
    for plan, page in PAGES.items():
        ways = re.findall(rf"^<!-- measured: ({plan}(?: .+)?) -->$", (ROOT / page).read_text(), re.MULTILINE)
        assert ways and all("Measured on" in shown(ROOT / page, way) for way in ways), plan
