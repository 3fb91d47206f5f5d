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
# # What each setting is worth
#
# A variant is a configuration with one thing changed: a flag, an environment variable, a package, a Python.
# It was measured beside the configuration that it is a variant of, so that what the machine did meanwhile
# cancels in their ratio. A run without variants leaves this notebook empty.

# %%
from analysis.report import exports, publish
from analysis.study import open_study

study = open_study()

# %% [markdown]
# ## The finding

# %%
publish.text(exports.settings_opening(study))

# %%
publish.charts(study, "What each setting is worth")

# %% [markdown]
# ## Each setting, and what people say of it
#
# *Worth it*: certainly more than 2 % better in something that it is expected to change, and certainly worse
# in nothing. *Makes no difference*: within 2 % in all of that. `today` is what became of the claim.

# %%
publish.table(exports.fates(study), "settings_fates")

# %% [markdown]
# ## The numbers
#
# `ratio` is the variant over its parent, `ratio_low` and `ratio_high` bound its 95 % interval, and `fate` is
# what that measure says by itself. `lost` is requests lost per replaced worker; `lost_pause`, `lost_burst`,
# `p99_burst`, `p99_overload` and `answers_503` are of connections (docs/settings.md).

# %%
publish.table(exports.settings(study), "settings")

# %% [markdown]
# ## Each load by itself
#
# Means of the parent and of the variant, and ratios of the variant to its parent.

# %%
publish.table(exports.settings_by_load(study), "settings_loads")

# %% [markdown]
# ## What to keep in mind

# %%
publish.findings(study.findings)
