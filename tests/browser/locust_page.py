"""Locust's own page, as a person uses it."""

import re

from playwright.sync_api import expect

TICK = "input[type=checkbox]"


class LocustPage:
    def __init__(self, page):
        self.page = page

    def choose(self, configuration, users="4", scenarios=("Index",), workers="1", recycle="", rate=""):
        """Fill in the form, which is there: scenarios picked, the suite's fields under Custom parameters."""
        page = self.page
        page.locator(f"table thead {TICK}").uncheck()
        for name in scenarios:
            page.locator("tr", has_text=re.compile(f"^{name}")).locator(TICK).check()
        page.locator("input[name=userCount]").fill(users)
        page.locator("input[name=spawnRate]").fill("100")
        self.unfold()
        options = page.locator("select[name=configuration] option").all_text_contents()
        label = next(each for each in options if re.match(rf"{configuration}\b", each))
        page.locator("select[name=configuration]").select_option(label)
        for field, value in (
            ("serverWorkers", workers),
            ("recycleAfter", recycle),
            ("arrivalsPerSecond", rate),
        ):
            page.locator(f"input[name={field}]").fill(value)

    def new(self):
        """Come to the form for another load, wherever the page is: where one has run, it shows that first."""
        again = self.page.get_by_role("button", name="New", exact=True)
        begin = self.page.locator("input[name=userCount]")
        again.or_(begin).first.wait_for()
        if again.is_visible():
            again.click()
        begin.wait_for()

    def unfold(self):
        heading = self.page.get_by_role("button", name="Custom parameters")
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        self.page.locator("select[name=configuration]").wait_for(state="visible")

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def expect_requests(self, name="/index"):
        """Locust's statistics have a row of that name in which requests are counted."""
        row = self.page.locator("tbody tr", has_text=name).first
        expect(row).to_be_visible()
        expect(row.locator("td").nth(2)).to_have_text(re.compile("^[1-9]"))

    def wait_stopped(self):
        self.page.get_by_role("button", name="New", exact=True).wait_for()
