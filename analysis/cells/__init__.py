"""From frames to figures: what each cell has come to, over its window, its slices and its repeats."""
