"""The page's script in a real browser, under the page's own policy. Needs Chromium, and no network."""

import json
import shutil
import subprocess

import pytest

from analysis.charts.beside import ratios
from analysis.report import document
from analysis.report.page import page as page_of
from bench.model.documents import NOTES
from tests.analysis.report_page import Page, draw
from tests.patience import LONG_S

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--dump-dom",
    "--hide-scrollbars",
]  # fmt: skip
# What a visitor does, and sees; it is told in an attribute, which the browser prints with the page.
VISIT = """
const told = {};
const tell = (name, value) => {
  told[name] = value;
  document.documentElement.dataset.told = JSON.stringify(told);
};
const table = document.querySelector("table.sortable");
const buttons = [...table.querySelectorAll("thead button")];
const column = (index) => [...table.tBodies[0].rows].map((row) => row.cells[index].textContent.trim());
const sorted = () => buttons.map((each) => each.parentNode.getAttribute("aria-sort"));
tell("heads", buttons.map((each) => each.textContent));
tell("before", [column(1), sorted()]);
buttons[0].click();
tell("worst", [column(0), sorted()]);
buttons[2].click();
tell("ascending", [column(2), sorted()]);
buttons[2].click();
tell("descending", [column(2), sorted()]);
buttons[1].focus();
tell("focus", document.activeElement === buttons[1]);
const link = document.querySelector("a.enlarge");
const shown = document.querySelector("dialog");
tell("closed", shown.open);
link.click();
tell("enlarged", [shown.open, shown.getAttribute("aria-label"), shown.querySelector("img").src.length]);
tell("wider", shown.querySelector("img").clientWidth > link.clientWidth);
shown.querySelector("img").click();
tell("inside", shown.open);
shown.dispatchEvent(new MouseEvent("click", {bubbles: true}));
tell("beside", shown.open);
link.click();
shown.querySelector("button").click();
tell("button", shown.open);
tell("address", location.href.endsWith("report.html"));
"""
# Which parts have a horizontal bar, and what comes first.
MEASURE = """
const parts = [document.documentElement, ...document.querySelectorAll(".scroll, figure")];
const bars = parts.filter((part) => part.scrollWidth > part.clientWidth + 1);
const from = (selector) => document.querySelector(selector).getBoundingClientRect().top;
document.documentElement.dataset.told = JSON.stringify({
  width: innerWidth,
  bars: bars.map((part) => part.getAttribute("aria-label") || part.tagName),
  tops: ["h1", "header img", "h2", "table"].map(from),
});
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt install chromium)")


def visited(source, folder, width=1400):
    """The page as the browser has it in the end, in a window so many pixels wide."""
    path = folder / "report.html"
    path.write_text(source, encoding="utf-8")
    command = [
        CHROMIUM,
        *FLAGS,
        f"--window-size={width},900",
        f"--user-data-dir={folder}/profile",
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True)
    return Page(done.stdout)


@pytest.fixture
def source(analysed, tmp_path, monkeypatch):
    """The page with a chart; `source(more)` adds to its script, which its policy then allows."""
    draw(analysed, tmp_path, ratios)
    asset = document._asset

    def make(more=""):
        monkeypatch.setattr(
            document, "_asset", lambda name: asset(name) + (more if name.endswith(".js") else "")
        )
        return page_of(analysed, tmp_path)

    return make


def test_tables_sort_and_charts_enlarge(source, tmp_path, analysed):
    (html,) = visited(source(VISIT), tmp_path).all("html")
    told = json.loads(html.attributes["data-told"])
    table = analysed.verdict.tables[0]
    texts = [row.texts() for row in table.rows]
    nothing = [None] * (len(table.columns) - 1)
    assert told["heads"] == [column for column in table.columns if column != NOTES]
    assert told["before"] == [[row[1] for row in texts], ["ascending", *nothing[1:]]]
    assert told["worst"] == [sorted((row[0] for row in texts), reverse=True), ["descending", *nothing[1:]]]
    rising = [row[2] for row in sorted(texts, key=lambda row: float(row[2].split()[0].replace(",", "")))]
    assert told["ascending"] == [rising, [None, None, "ascending", *nothing[3:]]]
    assert told["descending"] == [rising[::-1], [None, None, "descending", *nothing[3:]]]
    assert told["focus"] is True and told["closed"] is False
    opened, label, size = told["enlarged"]
    assert opened and label.endswith(".") and size > 10_000 and told["wider"]
    assert told["inside"] is True and told["beside"] is False and told["button"] is False
    assert told["address"] is True


def test_a_script_that_is_not_the_pages_own_does_not_run(source, tmp_path):
    evil = "<script>document.documentElement.dataset.evil = 1</script><img src=x onerror=document.title=1>"
    page = visited(source().replace("<main>", f"<main>{evil}", 1), tmp_path)
    (html,) = page.all("html")
    assert "data-evil" not in html.attributes
    assert page.all("title")[0].text != "1"
    # Its own did.
    assert page.all("dialog") and all(head.children for head in page.all("th") if head.within("thead"))


def test_at_1000_pixels_there_is_no_bar_and_the_answer_and_a_picture_come_first(source, tmp_path):
    (html,) = visited(source(MEASURE), tmp_path, 1000).all("html")
    told = json.loads(html.attributes["data-told"])
    assert told["width"] == 1000 and told["bars"] == []
    assert told["tops"] == sorted(told["tops"])


def test_on_a_phone_only_tables_and_charts_are_wider_than_the_screen(source, tmp_path):
    # A window of this browser is at least 500 pixels wide.
    (html,) = visited(source(MEASURE), tmp_path, 500).all("html")
    told = json.loads(html.attributes["data-told"])
    assert told["width"] == 500 and "HTML" not in told["bars"]
