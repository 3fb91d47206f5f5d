"""The thresholds of the verdicts on recycling, and what `bench findings` says of them.

They are shares unless the name ends in a unit.
"""

NEAR_S = 1.0
LINGER_S = 10.0
SERVED = 0.9
HEAVY = 0.9
TIMES_N = 2
ANSWERS_5XX = 0.01
STRANGERS = 0.01
STILLBORN = 3
SUCCESSOR_S = 10
OVERLAP_S = 20
KEEP_ALIVE = 1.5
LEAK = 0.2
BOUND = 0.1
OF_LEAK = 0.05
OLD_CODE_S = 1.0
SHORT_S = 0.1
LONG_S = 1.0

# What each threshold decides, the threshold, and why it is there.
RULES = [
    (
        "a loss belongs to a replacement",
        f"`NEAR_S` = {NEAR_S:g} s before its begin to after its end",
        "a death is noted at the next sample, a closed port at the next request. A loss whose handler ran "
        "belongs to that worker's replacement, whenever it was",
    ),
    (
        "a replacement begins",
        "with its successor's birth, the old worker's death, or the last request of that one at most "
        f"`LINGER_S` = {LINGER_S:g} s before",
        "an ending worker may refuse connections long before it is gone",
    ),
    (
        "replaced after N",
        f"the median whole life served `SERVED` = {SERVED:g} of N",
        "the server counts the suite's requests for readiness, too",
    ),
    (
        "replaced by memory",
        f"the median whole life was seen at `HEAVY` = {HEAVY:g} of the limit",
        "it is sampled four times a second and may grow until its end",
    ),
    (
        "not replaced",
        f"a worker that served `TIMES_N` = {TIMES_N:g} times N",
        "one that served less may have been about to be",
    ),
    (
        "broken: errors",
        f"more than `ANSWERS_5XX` = {ANSWERS_5XX:g} of the requests got an answer of 5xx",
        "a few at each replacement are its price; more is another service",
    ),
    (
        "broken: strangers",
        f"processes that never announced themselves answered more than `STRANGERS` = {STRANGERS:g} of the "
        "requests",
        "another pid is no replaced worker",
    ),
    (
        "broken: a loop",
        f"`STILLBORN` = {STILLBORN:g} workers, and more than were replaced, died before they were ready",
        "fewer may be accidents",
    ),
    (
        "broken: no successor",
        f"none within `SUCCESSOR_S` = {SUCCESSOR_S:g} s of a worker's end",
        "the slowest known, uvicorn's, takes 5 s",
    ),
    (
        "broken: old ones live on",
        f"more than twice as many workers as asked for, or any too many for `OVERLAP_S` = {OVERLAP_S:g} s",
        "Sanic lets the old one finish for up to 15 s beside the new one",
    ),
    (
        "keep-alive",
        f"`KEEP_ALIVE` = {KEEP_ALIVE:g} requests per connection in the scenario's median cell",
        "a scenario with a connection for each request has one",
    ),
    (
        "it leaks",
        f"without recycling the peak RSS of the second half is more than `LEAK` = {LEAK:g} above the first's",
        "else there is nothing to bound",
    ),
    (
        "the bound holds",
        f"with recycling it is at most `BOUND` = {BOUND:g} above, or `OF_LEAK` = {OF_LEAK:g} of the growth "
        "without; and the peak is below that without",
        "the halves of a saw-tooth have like peaks, unless workers end unevenly (uvicorn)",
    ),
    (
        "a deploy is complete",
        "as many workers as asked for started with the new release, and no other began a request in the last "
        f"`OLD_CODE_S` = {OLD_CODE_S:g} s of the window",
        "a forked worker may have the old code",
    ),
    (
        "a short stall, a long one",
        f"up to `SHORT_S` = {SHORT_S:g} s, from `LONG_S` = {LONG_S:g} s on",
        "they only choose colours in the table",
    ),
]
