"""Notes, kept as Markdown and shown as HTML."""
