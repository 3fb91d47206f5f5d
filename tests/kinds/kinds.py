"""All kinds, in the order of their table."""

from tests.kinds.table import apps, asking, examined, failing, limits, prints, sessions

KINDS = (
    *prints.KINDS, *apps.KINDS, *asking.KINDS, *sessions.KINDS, *examined.KINDS, *failing.KINDS,
    *limits.KINDS,
)  # fmt: skip
