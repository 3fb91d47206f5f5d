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
from analysis import charts, publish, tables
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## At the load that decides
#
# The highest concurrency that most configurations finished. A hollow marker is a server that still had CPU
# time to spare: what it served is a lower bound of what it can serve. The ceiling is what the generator
# reaches against a server that does nothing; a server near it may be faster than the generator can show.

# %%
publish.show(charts.throughput(study), "throughput")

# %% [markdown]
# ## With more users
#
# In a closed loop every user waits for an answer before asking again. Once the server's CPU is used up, more
# users only wait longer.

# %%
publish.show(charts.throughput_by_concurrency(study), "throughput_by_concurrency")

# %% [markdown]
# ## What the throughput costs in latency

# %%
publish.show(charts.latency_by_throughput(study), "latency_by_throughput")

# %% [markdown]
# ## The numbers
#
# Geometric means over the repeats; `_low` and `_high` bound the 95 % interval.

# %%
publish.table(tables.loads(study), "loads")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("generator-bound", "unsaturated", "waiting", "idle-users", "books"))

# %% [markdown]
# ## What else happened

# %%
publish.findings(study.about("spread", "steal", "others", "cpu-split", "one-repeat"))
