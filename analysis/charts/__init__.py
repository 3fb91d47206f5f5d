"""The charts: functions of a study that return a figure."""
