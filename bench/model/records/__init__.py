"""The JSON files of a run, as types; docs/contracts.md has their keys."""
