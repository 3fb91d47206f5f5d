"""The thresholds of the verdicts on recycling; docs/methodology.md lists every one with its reason.

They are shares unless the name ends in a unit.
"""

# How far from a replacement (before its begin, after its end) a request may be lost because of it.
NEAR_S = 1.0

# A worker that is ending may have stopped to answer for so long before it is gone.
LINGER_S = 10.0

# The median life must have served this share of N to count as replaced after N requests: the suite's own
# questions, such as those for readiness, are not in the trace.
SERVED = 0.9
# The median worker replaced by memory must have been seen at this share of the limit: it is looked at a few
# times a second, and may grow between the last look and its end.
HEAVY = 0.9
# A worker that served so many times N without being replaced shows that N is not obeyed.
TIMES_N = 2
# More answers of 5xx than this, and it is not the service that was asked for.
ANSWERS_5XX = 0.01
# More requests than this answered by processes that never announced themselves: a new pid proves nothing.
STRANGERS = 0.01
# So many workers that end before they are ready are a loop, not an accident.
STILLBORN = 3
# A successor that takes longer does not come; uvicorn's, the slowest known, takes 5 s.
SUCCESSOR_S = 10
# A worker that lives on beside its successor for longer has been forgotten; Sanic's may take 15 s.
OVERLAP_S = 20

# A scenario with fewer requests per connection than this opens one for each request.
KEEP_ALIVE = 1.5

# A server whose memory grows by less within a window without recycling does not leak, ...
LEAK = 0.2
# ... and for a bound to hold the peak of the second half may be so far above that of the first, ...
BOUND = 0.1
# ... or by so much of what the leak adds between the halves where no worker is replaced.
OF_LEAK = 0.05

# The trace may have so many requests more or fewer than were counted, for what ends with a second.
BOOKS = 0.01

# A stall that no client with ordinary time-outs notices, ...
SHORT_S = 0.1
# ... and one that everybody does.
LONG_S = 1.0
