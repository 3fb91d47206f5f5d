"""The measuring itself: from a plan to a folder of results."""
