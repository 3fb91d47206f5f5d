"""What each setting of a server is worth: variants beside the configuration that they are a variant of.

    found = settings(results, summary, recycling)
    found.finding, found.worth("uvicorn")

A variant counts where it and its parent were measured in the same run: what the machine did meanwhile cancels
in their ratio.
"""

from analysis.settings.model import MEASURES, Fate, Judged, Measure, Setting, Settings
from analysis.settings.reading import settings
from analysis.settings.runs import measured, seconds

__all__ = ["MEASURES", "Fate", "Judged", "Measure", "Setting", "Settings", "measured", "seconds", "settings"]
