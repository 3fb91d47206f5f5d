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
from analysis import charts, publish, tables, timelines
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## CPU time
#
# All processes of the server, manager and helpers included, over the successful requests. It depends little
# on the load generator, and holds where the server was not saturated.

# %%
publish.show(charts.cpu_per_request(study), "cpu_per_request")

# %% [markdown]
# ## Memory

# %%
publish.show(timelines.memory(study), "memory")

# %% [markdown]
# ## The numbers

# %%
publish.table(tables.costs(study), "costs")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("unmetered", "errors", "cpu-split"))
