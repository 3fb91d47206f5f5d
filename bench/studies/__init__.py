"""What is built on the experiment: the web UI, the replay, and the suite's checks of itself."""
