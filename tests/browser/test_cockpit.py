"""The web UI from the first look to the report, in Chromium."""

import re

from playwright.sync_api import expect

from tests.browser.locust_page import LocustPage

DRAWN = """() => document.querySelectorAll("#charts svg").length === 4
    && [...document.querySelectorAll("#charts svg")].every(
        chart => [...chart.querySelectorAll("polyline")].some(line => line.points.numberOfItems >= 3))"""
"""Whether all charts have a line of three seconds or more."""


def server_page(browse, ui, **options):
    page = browse(ui, "/server", **options)
    expect(page.locator("#state")).not_to_have_text("connecting …")
    return page


def test_the_server_page_before_any_load(browse, shot, ui):
    page = server_page(browse, ui)
    expect(page.locator("#state")).to_contain_text("no load")
    expect(page.get_by_role("button", name="Make and open the report")).to_be_enabled()
    shot(page, "01-server-page-before")


def test_one_page_from_choice_to_stop(browse, shot, ui):
    page = server_page(browse, ui)
    button = page.get_by_role("button", name="Start", exact=True)
    expect(button).to_be_enabled()
    expect(page.get_by_label("Scenario", exact=True)).to_have_value("Index")
    assert page.locator("#mix input:checked").count() == 0, "one scenario is selected at first"
    museum = page.get_by_label("Configuration").locator("option", has_text="museum")
    expect(museum).to_be_disabled()
    expect(museum).to_contain_text("unavailable:")
    page.get_by_label("Configuration").select_option("single")
    expect(page.locator("#summary")).to_have_text("Sanic in one process.")
    expect(page.get_by_label("Replace a worker after")).to_be_disabled()
    page.get_by_label("Users", exact=True).fill("4")
    page.get_by_label("Stop after").fill("soon")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("form").get_by_role("alert")).to_contain_text("the run time is written like")
    shot(page, "02-refused")
    page.get_by_label("Stop after").fill("")
    page.get_by_text("Mix with other scenarios").click()
    page.locator("#mix").get_by_label("Sleep").check()
    page.get_by_label("Users", exact=True).press("Enter")
    expect(page.locator("#state")).to_have_text("single: running")
    expect(page.locator("form").get_by_role("alert")).to_be_hidden()
    expect(page.locator("#facts")).to_contain_text("Index, Sleep: 4 users")
    expect(page.get_by_label("Configuration")).to_be_disabled()
    other = server_page(browse, ui, color_scheme="dark", viewport={"width": 400, "height": 800})
    expect(other.get_by_label("Users", exact=True)).to_have_value("4")
    expect(other.get_by_label("Configuration")).to_have_value("single")
    page.get_by_label("Users", exact=True).fill("6")
    page.get_by_role("button", name="Change users").click()
    expect(page.locator("#facts")).to_contain_text("6 users")
    ui.measured()
    assert other.evaluate("() => document.documentElement.scrollWidth") == 400
    shot(other, "02-running-narrow-dark")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("form").get_by_role("status")).to_contain_text("recorded in single/index+sleep/")
    expect(button).to_be_enabled()
    cell, _ = ui.recorded()
    assert cell["load"]["users"] == 6


def test_a_load_from_start_to_stop_on_the_page_of_locust(browse, shot, ui):
    page = browse(ui)
    locust = LocustPage(page)
    locust.new()
    shot(page, "02-form")
    locust.choose("sanic", workers="2", scenarios=("Index", "Sleep"))
    unavailable = page.locator("select[name=configuration] option", has_text="museum")
    expect(unavailable).to_contain_text("unavailable:")
    shot(page, "03-form-filled-in")
    locust.press("Start")
    locust.expect_requests("/index")
    locust.expect_requests("/sleep")
    shot(page, "04-statistics")
    locust.tab("Server")
    for number in (1, 2):
        row = page.locator("tbody tr", has_text=f"worker {number}")
        expect(row.locator("td").nth(1)).to_have_text(re.compile("^[0-9]+$"))
    expect(page.locator("tbody tr", has_text="whole server")).to_contain_text("CPU µs per request")
    shot(page, "05-server-tab")
    live = server_page(browse, ui)
    expect(live.locator("#workers tbody tr")).to_have_count(2)
    expect(live.locator("#state")).to_have_text("sanic: running")
    expect(live.locator("#facts")).to_contain_text("µs")
    live.wait_for_function(DRAWN)
    shot(live, "06-server-page")
    locust.tab("Charts")
    page.locator("canvas").first.wait_for()
    shot(page, "07-charts")
    locust.press("Edit")
    page.locator("input[name=userCount]").fill("8")
    shot(page, "08-edit")
    locust.press("Update")
    expect(live.locator("#facts")).to_contain_text("8 users")
    ui.measured()
    locust.press("Stop")
    locust.wait_stopped()
    expect(live.locator("#notices li").first).to_contain_text("recorded in sanic/index+sleep/")
    expect(live.locator("#state")).to_have_text("sanic: stopped")
    shot(page, "09-stopped")
    cell, _ = ui.recorded()
    assert cell["load"]["users"] == 8


def test_a_configuration_that_fails_says_why_in_the_form_and_another_may_be_chosen(browse, shot, ui):
    page = browse(ui)
    locust = LocustPage(page)
    locust.new()
    locust.choose("broken")
    locust.press("Start")
    alert = page.locator("form").get_by_role("alert").filter(has_text="broken did not start")
    expect(alert).to_contain_text("boom: <b>these are my last words</b>")
    shot(page, "10-does-not-start")
    live = server_page(browse, ui)
    expect(live.locator("#notices .error").first).to_contain_text("<b>these are my last words</b>")
    shot(live, "11-does-not-start-server-page")
    locust.choose("single")
    locust.press("Start")
    locust.expect_requests()
    expect(live.locator("#state")).to_have_text("single: running")
    ui.measured()
    locust.press("Stop")
    locust.wait_stopped()
    locust.new()
    locust.choose("sanic", recycle="300")
    shot(page, "12-another-start")
    locust.press("Start")
    expect(live.locator("#state")).to_have_text("sanic: running")
    expect(live.locator("#count")).to_have_text(re.compile("[1-9]"))
    expect(live.locator("#restarts tbody tr").first.locator("td").nth(1)).to_have_text(re.compile("^[0-9]+$"))
    live.wait_for_function(DRAWN)
    shot(live, "13-recycled")
    locust.tab("Server")
    expect(page.locator("tbody tr", has_text="restarts")).to_contain_text(re.compile("[1-9][0-9]* so far"))
    shot(page, "14-recycled-tab")
    locust.press("Stop")
    locust.wait_stopped()


def test_what_cannot_be_is_refused_with_a_sentence(browse, shot, ui):
    page = browse(ui)
    locust = LocustPage(page)
    locust.new()
    locust.choose("museum", users="0")
    locust.press("Start")
    alert = page.locator("form").get_by_role("alert").filter(has_text="unavailable")
    expect(alert).to_contain_text("museum is unavailable")
    locust.choose("single", users="0")
    locust.press("Start")
    alert = page.locator("form").get_by_role("alert").filter(has_text="users")
    expect(alert).to_contain_text("the number of users")
    alert.scroll_into_view_if_needed()
    shot(page, "15-refused")


def test_the_report_opens_with_its_charts(browse, shot, ui):
    ui.start(user_classes=["Index"])
    ui.measured()
    ui.stop()
    ui.recorded()
    page = server_page(browse, ui, color_scheme="dark")
    shot(page, "16-server-page-dark")
    page.get_by_role("button", name="Make and open the report").click()
    expect(page.locator("#report")).to_contain_text("being made")
    shot(page, "17-report-being-made")
    page.wait_for_url("**/report/report.html")
    charts = page.locator("a.enlarge img")
    expect(charts.first).to_be_visible()
    drawn = page.evaluate("[...document.images].filter(each => each.naturalWidth > 0).length")
    assert drawn == charts.count() > 0
    expect(page.locator("body")).to_contain_text("single")
    page.locator("a.enlarge").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    shot(page, "18-report-dark")
    shot(browse(ui, "/report/report.html"), "19-report")


def test_what_runs_already_is_swarmed(browse, shot, ui, open_ui):
    ui.start(user_classes=["Index"])
    url = ui.live()["load"]["url"]
    other = open_ui("--target-url", url, "--scenarios", "index")
    page = browse(other)
    expect(page.locator("input[name=host]")).to_have_value(url)
    shot(page, "20-target-url-form")
    LocustPage(page).press("Start")
    LocustPage(page).expect_requests()
    live = server_page(browse, other)
    expect(live.locator("#state")).to_have_text(f"{url}: running")
    expect(live.locator("#facts")).to_contain_text("runs already")
    live.wait_for_function("() => document.querySelectorAll('#charts svg').length === 3")
    shot(live, "21-target-url-server-page")
    LocustPage(page).press("Stop")
    LocustPage(page).wait_stopped()


def test_who_does_not_know_the_password_sees_nothing(browse, shot, open_ui):
    ui = open_ui("--host", "0.0.0.0", "--login", WHICHWORKER_UI_PASSWORD="correct horse")
    ui.url = ui.url.replace("0.0.0.0", "127.0.0.1")
    page = browse(ui, "/server")
    expect(page).to_have_url(re.compile("/login"))
    page.locator("input[name=password]").fill("wrong horse")
    page.get_by_role("button", name="Login").click()
    expect(page.locator("body")).to_contain_text("That is not the password.")
    shot(page, "22-login")
    page.locator("input[name=password]").fill("correct horse")
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    page.goto(f"{ui.url}/server")
    expect(page.locator("#state")).to_contain_text("no load yet")
    shot(page, "23-logged-in")


def test_when_the_web_ui_has_ended_its_page_says_so(chromium, shot, open_ui):
    ui = open_ui()
    page = chromium.new_page()
    page.goto(f"{ui.url}/server")
    expect(page.locator("#state")).to_contain_text("no load yet")
    assert ui.end() == 0
    expect(page.locator("#state")).to_contain_text("does not answer")
    shot(page, "24-ended")
    page.close()
