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
# # Which worker should serve this app?
#
# This notebook reads one run: the folder named by `WHICHWORKER_RUN`, else the latest under `results/`.

# %%
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## The finding

# %%
publish.text(f"**{study.headline}**")

# %%
publish.charts(study, "All rankings beside each other")

# %% [markdown]
# ## What may be wrong with it
#
# Each line says what is wrong, what it spoils, and what to do about it. `make findings` lists all that may be
# found, with thresholds and reasons.

# %%
publish.findings(study.findings)

# %% [markdown]
# ## What users' own code raised
#
# Exceptions of tasks and listeners, from the warm-up on. They fail no request, so no other figure shows them.
# `place` is the line of users' own code nearest to where the exception was raised.

# %%
publish.table(exports.exceptions(study), "exceptions")

# %% [markdown]
# ## The ranking
#
# Configurations of the same rank tie: the repeats do not tell them apart. They are compared pair by pair
# within each repeat, so ranks can differ although the intervals of two configurations overlap.

# %%
publish.table(exports.ranking(study), "ranking")

# %% [markdown]
# ## How the rotation went
#
# Where all servers were alive at once and the load went round among them: how much each had, which slices do
# not count, and what each used of a CPU (`idle_share`) while the others were loaded.

# %%
publish.table(exports.sittings(study), "sittings")

# %% [markdown]
# ## How often the suite cries wolf
#
# Where a plan measures a configuration under two names (A/A), every difference between the two is noise.

# %%
publish.table(exports.alike(study), "alike")

# %% [markdown]
# ## Every cell
#
# One row per cell: configuration x scenario x load x repeat. Failed cells have a reason instead of numbers.

# %%
publish.table(exports.cells(study), "cells")
