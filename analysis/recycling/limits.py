"""The thresholds of the verdicts on recycling, and the rules of docs/methodology.md about them.

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
        "a death is noted at the next sample, a closed port at a client's next request. A loss whose handler "
        "ran belongs to the replacement of that worker, whenever that was",
    ),
    (
        "a replacement begins",
        "with its successor's birth, the old worker's death or the last request that one handled, at most "
        f"`LINGER_S` = {LINGER_S:g} s before its death",
        "a worker that is ending may refuse connections long before it is gone",
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
        f"more than `STRANGERS` = {STRANGERS:g} of the requests were answered by processes that never "
        "announced themselves",
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
        "without recycling the peak RSS of the window's second half is more than `LEAK` = "
        f"{LEAK:g} above that of the first",
        "else there is nothing to bound",
    ),
    (
        "the bound holds",
        f"with recycling it is at most `BOUND` = {BOUND:g} above, or by at most `OF_LEAK` = {OF_LEAK:g} of "
        "what it grows by without; and the peak is below that without",
        "the halves of a saw-tooth have like peaks, unless workers end unevenly (uvicorn)",
    ),
    (
        "a deploy is complete",
        "as many workers as asked for have started with the new release, and no other has begun a request in "
        f"the last `OLD_CODE_S` = {OLD_CODE_S:g} s of the window",
        "a worker that came is no proof: a forked one may have the old code",
    ),
    (
        "a short stall, a long one",
        f"up to `SHORT_S` = {SHORT_S:g} s, from `LONG_S` = {LONG_S:g} s on",
        "they only choose colours in the table",
    ),
]
