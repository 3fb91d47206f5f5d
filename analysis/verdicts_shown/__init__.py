"""How a verdict is shown: on the page of a report and in a document; the terminal's way is bench's own."""
