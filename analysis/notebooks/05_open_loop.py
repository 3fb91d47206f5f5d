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
from analysis import publish, ratecharts, tables
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## Latency against the rate of arrivals
#
# Every rate that was measured, the steps of searches included. Beyond what a server can do, requests queue up
# for as long as one measures: latency there is no property of the server.

# %%
publish.show(ratecharts.latency_by_rate(study), "latency_by_rate")

# %% [markdown]
# ## What the service time hides
#
# A request that has to wait for its turn is sent late, and its service time starts when it is sent. Where the
# two differ, a measurement of service times alone would have been wrong by as much (coordinated omission).

# %%
publish.show(ratecharts.hidden_latency(study), "hidden_latency")

# %% [markdown]
# ## The numbers
#
# Latencies in microseconds, of all repeats together; `achieved` is the share of the arrivals completed.

# %%
publish.table(tables.rates(study), "rates")

# %% [markdown]
# ## The highest rate within the limit
#
# Found by search: doubled until the p99 from the schedule breaks the limit, then bisected.

# %%
publish.table(tables.capacity(study), "capacity")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.about("rate-not-reached", "generator-late", "loop-wait", "errors"))
