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
# # How much each configuration serves

# %%
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %%
publish.charts(study, "How much each configuration serves")

# %% [markdown]
# ## The numbers
#
# Geometric means over the repeats; `_low` and `_high` bound the 95 % interval.

# %%
publish.table(exports.loads(study), "loads")

# %% [markdown]
# ## What the proxy costs
#
# Where the run has one: each server behind it and past it, in turns.

# %%
publish.table(exports.proxy_costs(study), "proxy_cost")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("throughput"))

# %% [markdown]
# ## What else happened

# %%
publish.findings(study.about("circumstances"))
