"""The page as people meet it: its contents, tables, charts, colours, and what a browser may do with it."""

import base64
import hashlib
import json
import re
from itertools import pairwise

import pytest

from analysis.report.document import _asset
from analysis.report.page import page as page_of
from analysis.study import study
from tests.analysis.report_page import Page, draw
from tests.fixtures.make_recycling import STORIES, make_recycling
from tests.fixtures.make_run import Open, Search

# What a text needs against its ground: WCAG 2.2, success criterion 1.4.3 (AA).
CONTRAST = 4.5


@pytest.fixture(scope="module")
def sources(analysed, tmp_path_factory):
    """The pages of a run of speed and of one of recycling, with a chart each; no notebooks."""
    from analysis.charts.beside import ratios
    from analysis.charts.closed_loop import cpu_per_request
    from analysis.charts.lanes import figures

    folder = tmp_path_factory.mktemp("figures")
    draw(analysed, folder, ratios, cpu_per_request)
    recycled = study(make_recycling(tmp_path_factory.mktemp("results") / "recycle", STORIES))
    lives = tmp_path_factory.mktemp("lives")
    draw(recycled, lives, figures)
    return {"speed": page_of(analysed, folder), "recycling": page_of(recycled, lives)}


@pytest.fixture(params=["speed", "recycling"])
def source(sources, request):
    return sources[request.param]


def test_headings_are_in_order(source):
    levels = [int(head.tag[1]) for head in Page(source).all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_contents_list_every_part(source):
    page = Page(source)
    (nav,) = page.all("nav")
    links = [link for link in page.all("a") if nav in link.parents]
    contents = {link.attributes["href"]: link.text for link in links}
    heads = {f"#{head.attributes['id']}": head.text for head in page.all("h2")}
    assert heads.items() <= contents.items()
    assert [address for address in contents if address in heads] == list(heads)


def test_every_place_that_is_linked_is_there_once(source):
    page = Page(source)
    places = page.values("id")
    assert len(places) == len(set(places))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(places)
    assert {each for value in page.values("aria-labelledby") for each in value.split()} <= set(places)


def test_tables_have_captions_and_heads(source):
    page = Page(source)
    assert page.all("table")
    for table in page.all("table"):
        assert [child.tag for child in table.children] == ["caption", "thead", "tbody"]
        assert table.children[0].text.strip().endswith(".")
        heads = [cell for cell in page.all("th") if table in cell.parents and cell.within("thead")]
        assert all(head.attributes["scope"] == "col" and head.text for head in heads)
        for row in table.children[2].children:
            assert len(row.children) == len(heads)
            assert [cell.attributes["scope"] for cell in row.children if cell.tag == "th"] == ["row"]
        # What is too wide scrolls by the keyboard, too.
        assert {"role": "region", "tabindex": "0"}.items() <= table.parents[-1].attributes.items()


def test_pictures_say_what_they_show_and_lead_to_the_drawing(source):
    page = Page(source)
    assert page.all("img")
    for picture in page.all("img"):
        assert picture.attributes["alt"].endswith(".") and int(picture.attributes["width"]) > 1000
        link = picture.parents[-1]
        assert link.tag == "a" and link.attributes["class"] == "enlarge"
        assert re.fullmatch(r"[\w-]+\.svg", link.attributes["href"])


def test_the_answer_and_a_picture_of_it_come_before_any_section(sources):
    page = Page(sources["speed"])
    tags = [element.tag for element in page.elements if element.tag in ("h1", "img", "h2", "nav", "table")]
    assert tags[:3] == ["h1", "img", "nav"]
    # It is not shown a second time, and each other one stands in its section.
    assert [image.parents[-2].attributes["id"] for image in page.all("img")] == [
        "ratios",
        "cpu_per_request",
    ]
    assert [head.text for head in page.all("h2")].count("What a request costs") == 1
    assert "How much each configuration serves" not in page.text


def test_findings_are_grouped_and_those_that_spoil_the_answer_come_first(run, tmp_path):
    analysed = study(run(steal=0.1, trusted=False))
    page = Page(page_of(analysed, tmp_path))
    folded = {
        item.attributes["id"]: item.within("details") for item in page.all("li") if "id" in item.attributes
    }
    assert len(folded) == len(analysed.findings)
    answer = [each.group == "answer" for each in analysed.findings]
    shown = [not folded[f"finding-{number}"] for number in range(1, len(answer) + 1)]
    assert any(shown) and all(group for group, told in zip(answer, shown, strict=True) if told)


def test_only_our_own_script_and_style_are_allowed(source):
    page = Page(source)
    tags = [element.tag for element in page.elements]
    (policy,) = [meta for meta in page.all("meta") if "http-equiv" in meta.attributes]
    assert policy.attributes["http-equiv"] == "Content-Security-Policy"
    assert page.elements.index(policy) < min(tags.index("style"), tags.index("script"))
    rules = dict(rule.split(" ", 1) for rule in policy.attributes["content"].split("; "))
    hashes = {
        tag: "sha256-" + base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        for tag in ("style", "script")
        for element in page.all(tag)
    }
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'{hashes['style']}'",
        "script-src": f"'{hashes['script']}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert tags.count("style") == tags.count("script") == 1
    # What the policy would refuse must not be there.
    assert not page.values("style")
    assert not [key for element in page.elements for key in element.attributes if key.startswith("on")]


def test_nothing_comes_from_elsewhere(source):
    assert not re.search(r"https?://", source) and "url(" not in source and "@import" not in source


def test_the_script_is_small():
    assert len(_asset("report.js").splitlines()) <= 100


def colours(block):
    """The colours of one `:root` block, as `#rgb` or `#rrggbb` by name."""
    return dict(re.findall(r"--(\w+): (#\w+)", block))


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_sufficient_in_the_light_in_the_dark_and_on_paper():
    blocks = re.findall(r":root \{(.*?)\}", _asset("report.css"), re.DOTALL)
    schemes = [colours(block) for block in blocks]
    assert len(schemes) == 3
    for scheme in schemes:
        for ink in ("ink", "soft", "accent", "warn"):
            for ground in ("page", "card"):
                assert contrast(scheme[ink], scheme[ground]) >= CONTRAST, (ink, ground, scheme)


def test_ranks_come_sorted_and_other_columns_say_nothing_of_it(sources):
    page = Page(sources["speed"])
    marked = [head.text for head in page.all("th") if "aria-sort" in head.attributes]
    assert marked and set(marked) == {"rank"}


def test_open_loops_and_searches_have_their_tables(run):
    folder = run(
        scenarios={"index": (64,)}, open={"index": [Open((1000, 4000))]}, searches={"index": Search(5.0)}
    )
    page = Page(page_of(study(folder), folder))
    titles = [caption.children[0].children[0].text for caption in page.all("caption")]
    assert [title.partition(":")[2].split(",")[0].strip() for title in titles] == [
        "64 users",
        "highest rate with p99 within 5 ms",
        "constant arrivals",
    ]


def test_commands_that_differ_in_their_port_are_one(run):
    folder = run(configurations=("sanic",), repeats=3)
    starts = [["--port", "8001", "--n", "5"], ["--bind=127.0.0.1:7", "x"], ["--port", "8002", "--n", "5"]]
    for path, more in zip(sorted(folder.rglob("cell.json")), starts, strict=True):
        cell = json.loads(path.read_text())
        cell["server"]["command"] = ["sanic", *more]
        path.write_text(json.dumps(cell))
    commands = [each.text for each in Page(page_of(study(folder), folder)).all("pre")]
    sets = "SERVED_BY=sanic "
    assert commands == [f"{sets}sanic --port 8001 --n 5", f"{sets}sanic --bind=127.0.0.1:7 x"]


def test_a_run_that_did_not_record_the_environment_shows_the_command_alone(run):
    folder = run(configurations=("sanic",))
    for path in folder.rglob("cell.json"):
        cell = json.loads(path.read_text())
        del cell["server"]["environment"]
        path.write_text(json.dumps(cell))
    assert [each.text for each in Page(page_of(study(folder), folder)).all("pre")] == [
        "sanic app:app --workers 1"
    ]
