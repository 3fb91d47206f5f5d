"""A stand-in for swarm.session: the same protocol, a trickle of requests from one thread.

Argument: a mode, what goes wrong: dies, hangs, "kills N": it kills the server in the windows of its first N
cells, or "limit N": in open loops above N arrivals per second it says that answers took 100 ms instead of
1 ms; "late N": that it was itself late by 100 ms; "hiccup N": the latter once, the former from then on. In
the mode echo it leaves the command it was given beside its files. A load that goes round gets figures that
are made up: the first target by its name serves 100/s, the next 200/s, each with a tenth of its CPU; "kills
N" kills the first one in each of the first N rotations, "hangs" and "dies" are as in cells. "loses": of two
generators of other machines the second is lost in each cell; "alone": only one of them comes.
"""

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path

MODE, _, LIMIT = (sys.argv[1] if len(sys.argv) > 1 else "well").partition(" ")
hiccups = MODE == "hiccup"
victims = int(LIMIT) if MODE == "kills" else 0
current = None
aborted = threading.Event()
enough = threading.Event()
dropped = {}


def say(**event):
    event = {"cell": current, **event}
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def cell(command):
    global current
    current = command["cell"]
    if MODE == "loses":
        reason = "the generator b was lost"
        return say(event="failed", reason=reason, see_log=False, over=False, lost=["b"])
    aborted.clear()
    enough.clear()
    start = time.time() + command["warmup_s"]
    end = start + command["measured_s"]
    requests = failures = 0
    to_kill = victims > 0
    reported = time.time()
    while time.time() < end and not enough.is_set():
        if aborted.wait(0.02):
            return say(event="failed", reason="aborted")
        try:
            with urllib.request.urlopen(command["host"] + "/index", timeout=5) as answer:
                answer.read()
            requests += 1
        except OSError:
            failures += 1
        if time.time() >= reported + 0.2:
            reported = time.time()
            inside = reported >= start
            say(
                event="progress",
                time=reported,
                users=2,
                requests_per_s=50,
                failures_per_s=0,
                window_start=start if inside else None,
                requests=requests if inside else None,
            )
        if MODE == "dies" and requests == 5:
            sys.stderr.write("boom: the generator gives up\n")
            sys.stderr.flush()
            os._exit(7)
        if MODE == "hangs":
            time.sleep(3600)
        if to_kill and requests > 0 and time.time() > start:
            to_kill = False
            kill(command["host"])
    (Path(command["directory"]) / "latency.csv").write_text("second,method,name,kind,bucket_us,count\n")
    if MODE == "echo":
        (Path(command["directory"]) / "command.json").write_text(json.dumps(command))
    window = {"start": start, "end": min(end, time.time())}
    return say(
        event="finished", window=window, requests=requests, failures=failures, **schedule(command["arrivals"])
    )


def rotate(command):
    global current
    current = command["cell"]
    aborted.clear()
    dropped.clear()
    names = sorted(target["name"] for target in command["targets"])
    start, until = time.time(), time.time() + 0.3
    if MODE == "dies":
        os._exit(7)
    to_kill = victims > 0
    while time.time() < until or (to_kill and not dropped):
        if aborted.wait(0.05):
            return say(event="failed", reason="aborted")
        say(event="progress", time=time.time(), share=0.5, requests_per_s=50, failures_per_s=0)
        if MODE == "hangs":
            time.sleep(3600)
        if to_kill and command["targets"] and time.time() < until:
            kill(next(target["host"] for target in command["targets"] if target["name"] == names[0]))
            until = 0.0
    for target in command["targets"]:
        folder = Path(target["directory"])
        (folder / "latency.csv").write_text("second,method,name,kind,bucket_us,count\n")
        (folder / "command.json").write_text(json.dumps(command))
    found = {
        target["name"]: {
            "requests": 100 * (names.index(target["name"]) + 1),
            "failures": 0,
            "loaded_s": 1.0,
            "cpu_s": 0.1,
            "idle_cpu_s": 0.0,
            "idle_s": 1.0,
            "warm_s": 0.01,
            "gap_s": 0.01,
            "reason": dropped.get(target["name"]),
            **schedule(None),
        }
        for target in command["targets"]
    }
    return say(
        event="finished",
        window={"start": int(start), "end": int(start) + 1},
        slice_s=command["slice_s"] or 0.05,
        rounds=20,
        order=names,
        targets=found,
    )


def kill(host):
    global victims
    victims -= 1
    with urllib.request.urlopen(host + "/whoami", timeout=5) as answer:
        os.kill(json.load(answer)["pid"], signal.SIGKILL)


def schedule(arrivals):
    """What is said of a window beside its requests; the figures are made up, but in the right places."""
    global hiccups
    fast, slow = ({"p50": us / 2, "p90": us, "p99": us, "max": us} for us in (1000, 100_000))
    if arrivals is None:
        return {"latency_us": {"service": fast}, "arrivals": None, "completions": None}
    beyond = bool(LIMIT) and arrivals["rate_per_s"] > float(LIMIT)
    late = beyond and (MODE == "late" or hiccups)
    latency_us = {
        "service": fast,
        "from_schedule": slow if beyond and not late and MODE in ("limit", "hiccup") else fast,
        "lateness": slow if late else fast,
    }
    hiccups = hiccups and not late
    return {"latency_us": latency_us, "arrivals": 50, "completions": 50}


def main():
    if MODE in ("loses", "alone"):
        say(event="joining", joined=["a"])
    if MODE == "alone":
        sys.exit("only 1 of 2 generators have joined")
    elsewhere = {}
    if MODE == "loses":
        say(event="joining", joined=["a", "b"])
        machine = {"hostname": "h", "system": "s", "python": "3", "cpus": [0]}
        elsewhere["generators"] = [
            {**machine, "name": name, "processes": [number]} for number, name in enumerate("ab", 1)
        ]
    say(event="ready", locust="fake", processes=1, scenarios={}, engines={"index.py": "swarm"}, **elsewhere)
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "abort":
            aborted.set()
        elif command["command"] == "enough":
            enough.set()
        elif command["command"] == "drop":
            dropped[command["target"]] = command["reason"]
        else:
            act = rotate if command["command"] == "rotate" else cell
            threading.Thread(target=act, args=(command,), daemon=True).start()
    os._exit(0)


main()
