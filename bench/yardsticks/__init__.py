"""The suite's figures beside those of other load generators, and what its metering and recording cost."""
