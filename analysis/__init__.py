"""From recorded results to tidy frames, findings, figures and a verdict."""
