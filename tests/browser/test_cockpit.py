"""The web UI from the first look to the report, in Chromium."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.locust_page import LocustPage

pytestmark = pytest.mark.timeout(600)


def server_page(browse, ui, **options):
    page = browse(f"{ui.url}/server", **options)
    page.locator("#charts svg").first.wait_for()
    return page


def test_a_load_from_start_to_stop(browse, shot, ui):
    page = browse(ui.url)
    locust = LocustPage(page)
    locust.choose("sanic", workers="2", scenarios=("Index", "Sleep"))
    shot(page, "1-form", full_page=True)
    locust.press("Start")
    locust.expect_requests("/index")
    locust.expect_requests("/sleep")
    shot(page, "2-statistics")
    locust.tab("Server")
    for number in (1, 2):
        row = page.locator("tbody tr", has_text=f"worker {number}")
        expect(row.locator("td").nth(1)).to_have_text(re.compile("^[0-9]+$"))
    expect(page.locator("tbody tr", has_text="whole server")).to_contain_text("CPU µs per request")
    shot(page, "3-server-tab")
    live = server_page(browse, ui)
    expect(live.locator("#workers tbody tr")).to_have_count(2)
    expect(live.locator("#state")).to_have_text("sanic: running")
    expect(live.locator("#charts figure", has=live.locator("polyline"))).to_have_count(4)
    live.wait_for_timeout(5000)  # for the eye: a few seconds to be drawn
    shot(live, "4-server-page", full_page=True)
    locust.press("Edit")
    page.locator("input[name=userCount]").fill("8")
    locust.press("Update")
    expect(live.locator("#facts")).to_contain_text("8 users")
    ui.measured()
    locust.press("Stop")
    locust.wait_stopped()
    expect(live.locator("#notices")).to_contain_text("recorded in sanic/index+sleep/")
    expect(live.locator("#state")).to_have_text("sanic: stopped")
    shot(page, "5-stopped")
    cell, _ = ui.recorded()
    assert cell["load"]["users"] == 8


def test_a_configuration_that_fails_says_why_in_the_form_and_another_may_be_chosen(browse, shot, ui):
    page = browse(ui.url)
    locust = LocustPage(page)
    locust.choose("broken")
    locust.press("Start")
    alert = page.locator("form").get_by_role("alert").filter(has_text="broken did not start")
    expect(alert).to_contain_text("boom: <b>these are my last words</b>")
    shot(page, "6-does-not-start", full_page=True)
    live = server_page(browse, ui)
    expect(live.locator("#notices .error")).to_contain_text("<b>these are my last words</b>")
    locust.choose("single")
    locust.press("Start")
    locust.expect_requests()
    expect(live.locator("#state")).to_have_text("single: running")
    locust.press("Stop")
    locust.wait_stopped()
    locust.press("New")
    locust.choose("sanic", recycle="300")
    shot(page, "7-another-start")
    locust.press("Start")
    expect(live.locator("#state")).to_have_text("sanic: running")
    expect(live.locator("#restarts")).to_contain_text(re.compile("restarts so far: [1-9]"))
    expect(live.locator("#restarts")).to_contain_text("the last worker that died: pid")
    live.wait_for_timeout(4000)  # for the eye
    shot(live, "8-recycled", full_page=True)
    locust.tab("Server")
    expect(page.locator("tbody tr", has_text="restarts")).to_contain_text(re.compile("[1-9][0-9]* so far"))
    shot(page, "9-recycled-tab")


def test_everything_picked_is_refused_with_a_sentence(browse, shot, ui):
    page = browse(ui.url)
    locust = LocustPage(page)
    locust.choose("single", users="0")
    locust.press("Start")
    expect(page.locator("form").get_by_role("alert")).to_contain_text("the number of users")
    shot(page, "10-refused", full_page=True)


def test_the_report_opens_with_its_charts(browse, shot, ui):
    ui.start()
    ui.measured()
    ui.stop()
    ui.recorded()
    page = server_page(browse, ui, color_scheme="dark")
    shot(page, "11-server-page-dark", full_page=True)
    page.get_by_role("button", name="Make and open the report").click()
    expect(page.locator("#report")).to_contain_text("being made")
    page.wait_for_url("**/report/report.html", timeout=180_000)
    charts = page.locator("a.enlarge img")
    expect(charts.first).to_be_visible()
    drawn = page.evaluate("[...document.images].filter(each => each.naturalWidth > 0).length")
    assert drawn == charts.count() > 0
    expect(page.locator("body")).to_contain_text("single")
    page.locator("a.enlarge").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    shot(page, "12-report", full_page=True)


def test_the_server_page_before_any_load(browse, shot, ui):
    page = browse(f"{ui.url}/server")
    expect(page.locator("#state")).to_contain_text("no load yet")
    expect(page.get_by_role("button", name="Make and open the report")).to_be_enabled()
    shot(page, "13-before")


def test_when_the_web_ui_has_ended_its_page_says_so(chromium, ui):
    page = chromium.new_page()
    page.goto(f"{ui.url}/server")
    expect(page.locator("#state")).to_contain_text("no load yet")
    assert ui.end() == 0
    expect(page.locator("#state")).to_contain_text("does not answer", timeout=20_000)
    page.close()
