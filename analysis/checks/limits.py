"""The thresholds of the findings; docs/methodology.md lists every one with its reason.

They are shares unless the name ends in a unit.
"""

# A server that used less of its CPUs than this was not what limited the throughput.
SATURATED = 0.90
# A generator that used more of its CPUs than this may have been.
GENERATOR_BUSY = 0.90
# Beyond this share of what the generator reaches against a server that does nothing, most of the time between
# two requests of a user is the generator's.
CEILING_SHARE = 0.60
# Share of the median that may be the time for which the generator left answers unread.
LOOP_WAIT = 0.10
# Longest time the generator may have been deaf, as a share of the cell's p99.
LOOP_LAG = 0.5
# Share of their time that users may spend outside of requests, beyond what its CPU time explains, ...
IDLE_USERS = 0.10
# ... and by which requests may fill more than all of it before the books do not balance.
CROWDED_USERS = 0.05

# Failures beyond this share of all requests make the rest of the numbers describe another service.
ERROR_RATE = 0.001

# A window needs this many whole seconds for a trend to be told from chance: five are the fewest in which a
# rising series is unlikely enough (Theil-Sen's 95 % interval can exclude zero).
TREND_SECONDS_S = 5
# Change of throughput from the first to the last second of a window that is called a drift.
DRIFT = 0.10
# Difference between the means before and after a second that is called a step.
STEP = 0.15
# A step, and a warm-up within the window, must be less likely than this to be noise.
CHANCE = 0.01
# What the first seconds of the window must differ by from the rest for the warm-up not to be over.
WARMUP = 0.05
# A second may deviate this much from the mean of its window, ...
UNSTEADY = 0.15
# ... and the repeats of a cell this much from each other (largest over smallest).
SPREAD = 1.20

# Share of the used CPUs' time that the hypervisor may give to other guests, ...
STEAL = 0.02
# ... and the machine itself to processes that are neither server nor generator.
OTHERS = 0.05

# Share of its arrivals that an open loop must complete in the window to have reached its rate.
REACHED = 0.99
# Above this share of busy users on average, a random arrival had to wait for one.
POOL_FULL = 0.90
# The generator's own lateness: share of the p99 from the schedule, ...
LATE = 0.10
# ... and the bound for all of them, in milliseconds: what a timer rounded to milliseconds would add.
LATE_MS = 1.0
