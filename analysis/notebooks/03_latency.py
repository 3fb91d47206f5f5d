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
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %%
publish.charts(study, "How long an answer takes")

# %% [markdown]
# ## The numbers
#
# A percentile with fewer than ten requests beyond it is left empty.

# %%
publish.table(exports.percentiles(study), "percentiles")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("latency"))
