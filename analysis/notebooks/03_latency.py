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
# # How long an answer takes

# %%
from analysis import charts, publish, tables, timelines
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## Every percentile
#
# From the merged histograms of all repeats. The axis stretches the tail: each step to the right is ten times
# rarer.

# %%
publish.show(charts.percentiles(study), "percentiles")

# %% [markdown]
# ## Second by second
#
# A level line was worth measuring; a slope wants a longer warm-up; a notch is a stall.

# %%
publish.show(timelines.over_time(study), "over_time")

# %% [markdown]
# ## The numbers
#
# A percentile with fewer than ten requests beyond it is left empty.

# %%
publish.table(tables.percentiles(study), "percentiles")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(
    study.about("warm-up", "drift", "step", "unsteady", "loop-wait", "loop-lag", "errors", "steal")
)
