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
# # Workers that restart after N requests
#
# Every load was measured twice: with recycling, and without it as the control. Requests arrive by a schedule
# and each has an id that the app logs, so that of a lost one it is known whether its handler ran. Clients
# never send again. A plan without recycling leaves this notebook empty.

# %%
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## The finding

# %%
publish.text(exports.opening(study))

# %% [markdown]
# ## The table that decides

# %%
publish.table(exports.recycling(study), "recycling")

# %% [markdown]
# The folder of every cell that an answer was read from:

# %%
publish.table(exports.recycling_evidence(study), "recycling_evidence")

# %% [markdown]
# ## Behind the proxy and past it
#
# The same loads were measured in both ways, where the run has a proxy.

# %%
publish.table(exports.proxy(study), "proxy")

# %% [markdown]
# Without a replacement: connections that the server ends as the proxy sends the next request on them.

# %%
publish.table(exports.proxy_idle_race(study), "proxy_idle")

# %% [markdown]
# ## What a deploy costs
#
# In the midst of the window the app got a new release, and the server was told to take it up.

# %%
publish.table(exports.deploys(study), "deploys")

# %%
publish.charts(
    study,
    "The lives of the workers",
    "Memory with and without recycling",
    "What recycling costs",
    "How many requests a worker serves",
    "A worker killed, a server stopped",
    "A deploy under load",
)

# %% [markdown]
# ## What each N costs
#
# Computed from what a replacement costs at the smallest N that was measured. In rows that are `measured`,
# `requests_per_life` is what there was to a replacement: where the computed price fits those, it holds.
# `share_throughput` is what a saturated server loses (`low` to `high`); `p99_added_ms` is at `rate_per_s`.

# %%
publish.table(exports.price_of_n(study), "price_of_n")

# %% [markdown]
# ## Every cell, life, replacement and loss
#
# What each column means is in the docstring of `analysis.recycling.Recycling`.

# %%
publish.table(exports.recycling_cells(study), "recycling_cells")

# %%
publish.table(exports.lives(study), "lives")

# %%
publish.table(exports.replacements(study), "replacements")

# %%
publish.table(exports.losses(study), "losses")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.findings)
