"""The report's page as a browser would take it: elements in their order, with their attributes and texts."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from analysis.charts import registry
from analysis.report.publish import keep

VOID = {"meta", "img", "br", "link", "input", "hr"}
RAW = {"style", "script"}


@dataclass
class Element:
    tag: str
    attributes: dict
    parents: tuple
    text: str = ""  # its own and that of what it contains
    children: list = field(default_factory=list)

    def within(self, tag):
        return any(parent.tag == tag for parent in self.parents)


class Page(HTMLParser):
    """`elements` in document order, `text` as people read it."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.text, self._open = [], "", []
        self.feed(source)
        self.close()
        assert not self._open, f"not closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag, attributes):
        assert len({key for key, _ in attributes}) == len(attributes), f"{tag} has an attribute twice"
        element = Element(tag, dict(attributes), tuple(self._open))
        self.elements.append(element)
        if self._open:
            self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        for element in self._open:
            element.text += data
        if not any(element.tag in RAW for element in self._open):
            self.text += data

    def all(self, *tags):
        return [element for element in self.elements if element.tag in tags]

    def values(self, attribute):
        return [element.attributes[attribute] for element in self.elements if attribute in element.attributes]

    @property
    def addresses(self):
        """Everything that a browser would fetch or go to."""
        return [value for key in ("src", "href", "srcset", "action") for value in self.values(key)]

    @property
    def links(self):
        """The addresses that lead away from the page, other than to the drawings beside it."""
        own = ("data:", "#")
        return [each for each in self.addresses if not each.startswith(own) and not each.endswith(".svg")]

    @property
    def images(self):
        return [image.attributes for image in self.all("img")]


def coarse(figure):
    """The figure with few dots: of a picture that nobody looks at, making these takes half of the time."""
    figure.set_dpi(50)
    return figure


def draw(study, folder, *draws):
    """Draw some registered charts into a folder, as a notebook does for a report."""
    for section in (*registry.BEFORE, *registry.AFTER):
        for chart in registry.charts(section):
            if chart.draw in draws:
                for name, figure in chart.figures(study).items():
                    keep(chart, name, figure, folder)


def list_charts(folder, **captions):
    """Write the list of a report's charts, which documents show under these captions."""
    for lead, (name, caption) in enumerate(captions.items(), 1):
        registry.record(folder, registry.Drawn(name, f"{name}.", 1, 1, registry.BEFORE[0], lead, caption))
