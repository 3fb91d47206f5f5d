"""What is written into the project's documents from runs: their parts, as lines of Markdown."""
