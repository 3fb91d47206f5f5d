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
# # What an open loop shows
#
# In a closed loop a user asks again only when it has its answer, so a server that stalls is asked less, and
# the stall counts once per user. In an open loop requests arrive by a schedule, whatever the server does, and
# latency counts from the moment a request was due. A plan without open loads leaves this notebook empty.

# %%
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %%
publish.charts(study, "What an open loop shows")

# %% [markdown]
# ## The numbers
#
# Latencies in microseconds, of all repeats together; `achieved` is the share of the arrivals completed.

# %%
publish.table(exports.rates(study), "rates")

# %% [markdown]
# ## The highest rate within the limit
#
# Found by search: doubled until the p99 from the schedule breaks the limit, then bisected.

# %%
publish.table(exports.capacity(study), "capacity")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("open loops"))
