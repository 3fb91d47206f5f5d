"""The suite's own figures: beside those of other load generators, and beside what is known by arithmetic."""
