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
# # What people say about it, measured
#
# *Which worker should serve my Sanic app?* was answered in
# [a discussion](https://community.sanicframework.org/t/correct-settings-for-uvicorn-gunicorn-for-production/694)
# by claims, and more are made about settings. This notebook holds each of them against the runs of one
# machine: one of performance (`make bench`), one of recycling (`make recycle`), a replay of the benchmark
# that was argued about (`make replay`), and those that tried settings (`make settings`). It reads those
# beside the run named by `WHICHWORKER_RUN`, else beside the latest; no report has it, as no single run
# answers it.

# %%
from analysis.claims import claims, model
from analysis.claims.material import open_material
from analysis.report import publish

material = open_material()
answered = claims(material)

# %% [markdown]
# ## What was read

# %%
publish.table(model.runs(material), "claims_runs")

# %% [markdown]
# ## The claims
#
# *holds*, *holds in part*, *does not hold*: as measured, with these versions. *not shown*: the figures do not
# decide. *not measured*: the run that would tell is missing, or this machine cannot make it.

# %%
publish.text(f"**{answered.finding}**")

# %%
publish.table(model.frame(answered), "claims")

# %% [markdown]
# ## Speed, scenario by scenario
#
# What the claims about speed go by: requests per second where every server was saturated, else per second of
# CPU time; geometric means over the repeats.

# %%
publish.table(model.speed(material), "claims_speed")

# %% [markdown]
# ## What replaced workers cost
#
# What the claims about restarts go by: lost requests per 1000 replaced workers with their 95 % interval, by
# how far their handlers came.

# %%
publish.table(model.prices(material), "claims_prices")

# %% [markdown]
# ## Settings
#
# What the claims about settings go by: a row for each variant that was tried, from the latest run that did.

# %%
publish.table(model.settings(material), "claims_settings")

# %% [markdown]
# ## Simultaneous requests
#
# What the claim about synchronous clients goes by: a row for each recorded execution of the old benchmark.

# %%
publish.table(model.simultaneous(material), "claims_simultaneous")
