"""What was recorded: histograms, the batches in which they travel, and the files."""
