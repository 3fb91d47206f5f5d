"""An app that cannot be imported."""

raise RuntimeError("the app cannot be imported")
