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
from analysis import overviewchart, publish, tables
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## The finding

# %%
publish.text(f"**{study.verdict.finding}**")

# %% [markdown]
# ## All rankings beside each other
#
# Drawn for runs that have more of them than one compares table by table.

# %%
publish.show(overviewchart.rankings(study), "rankings")

# %% [markdown]
# ## What may be wrong with it
#
# Each line says what is wrong, what it spoils, and what to do about it. The thresholds are explained in
# `docs/methodology.md`.

# %%
publish.findings(study.findings)

# %% [markdown]
# ## The ranking
#
# Configurations of the same rank tie: the repeats do not tell them apart. They are compared pair by pair
# within each repeat, so ranks can differ although the intervals of two configurations overlap.

# %%
publish.table(tables.ranking(study), "ranking")

# %% [markdown]
# ## How often the suite cries wolf
#
# Where a plan measures a configuration under two names (A/A), every difference between the two is noise.

# %%
publish.table(tables.alike(study), "alike")

# %% [markdown]
# ## Every cell
#
# One row per cell: configuration x scenario x load x repeat. Failed cells have a reason instead of numbers.

# %%
publish.table(tables.cells(study), "cells")
