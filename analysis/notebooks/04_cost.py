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
# # What a request costs

# %%
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %%
publish.charts(study, "What a request costs")

# %% [markdown]
# ## The numbers

# %%
publish.table(exports.costs(study), "costs")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("cost"))
