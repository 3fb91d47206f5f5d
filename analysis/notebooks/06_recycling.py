# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workers that restart after N requests
#
# Every load was measured twice: with recycling, and without it as the control. Requests arrive by a schedule
# and each has an id that the app logs, so that of a lost one it is known whether its handler ran. Clients
# never send again. A plan without recycling leaves this notebook empty.

# %%
from analysis import publish
from analysis.recycling_shown import charts, lanes, memory, probes, table
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## The finding

# %%
publish.text(table.opening(study))

# %% [markdown]
# ## The table that decides

# %%
publish.table(table.frame(study), "recycling")

# %% [markdown]
# The folder of every cell that an answer was read from:

# %%
publish.table(table.evidence(study), "recycling_evidence")

# %% [markdown]
# ## The lives of the workers
#
# A lane for each worker that serves beside the others. Where the bars of a lane overlap, the successor was
# ready before the old worker ended; where there is room between them, a worker was missing.

# %%
publish.show_all(lanes.figures(study))

# %% [markdown]
# ## Memory with and without recycling
#
# The app keeps 50 kB of every request. Without recycling it grows for as long as it serves; with it, each new
# worker begins again.

# %%
publish.show_all(memory.figures(study))

# %% [markdown]
# ## What recycling costs

# %%
publish.show_all(charts.prices(study))

# %% [markdown]
# ## How many requests a worker serves
#
# Beyond N a worker serves its jitter, what it answers while its successor starts, and what comes in until the
# server looks at its count again.

# %%
publish.show(charts.requests_per_life(study), "requests_per_life")

# %% [markdown]
# ## A worker killed, a server stopped
#
# `kill -9` of one of the workers, and SIGTERM to the server while requests are in flight.

# %%
publish.show(probes.probes(study), "probes")

# %% [markdown]
# ## Every cell, life, replacement and loss
#
# What each column means is in the docstring of `analysis.recycling.Recycling`.

# %%
publish.table(table.cells(study), "recycling_cells")

# %%
publish.table(table.lives(study), "lives")

# %%
publish.table(table.replacements(study), "replacements")

# %%
publish.table(table.losses(study), "losses")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.findings)
