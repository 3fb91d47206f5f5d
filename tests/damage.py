"""What may become of a file: cut, emptied, overwritten, of another encoding, with numbers that cannot be.

Each damage is one draw of Hypothesis, so that what fails shrinks, and is the same again in CI.
"""

import json
import os
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def examples(few: int) -> Decorator:
    """Try so many damages; in `make fuzz` many more."""
    count = int(os.environ.get("WHICHWORKER_EXAMPLES", few))
    unchecked = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=count, suppress_health_check=unchecked)


# Numbers that no measurement gives, as they stand in a CSV file or in JSON.
ODD = (
    "", "-1", "0", "nan", "NaN", "inf", "-inf", "Infinity", "1e999", "1e308", "-1e308", "5e-324", "0x10",
    "9223372036854775808", "-9223372036854775809", "99999999999999999999999999", "1_000", "1,5", "٣", "true",
    "null", '"', "'", "\x00", "=1+1", "x" * 70_000, "\ud83d", "1.5", "1e15", "4294967296", "2147483648",
)  # fmt: skip
# The same as values of JSON, and shapes that are none of those expected.
WRONG = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**40, 1e308, -1e308, 1e15, 5e-324, 0.5,
    float("inf"), float("nan"), "", "x", "../../..", "/etc/passwd", "\x00", "\x1b[31m", "x" * 70_000, [],
    [None], [[]], {}, {"": None}, [1, 2, 3], ["a", "a"],
)  # fmt: skip
# The same as TOML writes it.
TOML = (
    "0", "-1", "1", "9223372036854775808", "1" + "0" * 400, "1e400", "1e308", "nan", "inf", "-inf", "0.5",
    "true", "1979-05-27T07:32:00Z", '""', '"x"', '"../../.."', '"/dev/null"', '"\\u0000"', '"{"', '"{host}"',
    '"{unknown}"', f'"{"x" * 5000}"', "[]", "[1, 1]", '["a", "a"]', "[[]]", "[[1]]", "{}", "{ a = 1 }",
    "[" * 500 + "]" * 500, '["{0}"]', '["\\u001b[31m"]',
)  # fmt: skip


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """What may have become of the bytes of a file, whatever it was."""
    length = len(content)
    places = st.integers(0, length)
    return st.one_of(
        st.just(b""),
        places.map(lambda at: content[:at]),
        places.map(lambda at: content[at:]),
        st.binary(max_size=200),
        st.tuples(places, st.binary(min_size=1, max_size=64)).map(
            lambda drawn: content[: drawn[0]] + drawn[1] + content[drawn[0] + len(drawn[1]) :]
        ),
        st.tuples(places, places).map(lambda drawn: content[: max(drawn)] + content[min(drawn) :]),
        st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "cp500"]).map(
            lambda encoding: content.decode().encode(encoding, "replace")
        ),
        st.just(content.replace(b"\n", b"\r\n")),
        st.just(content.replace(b"\n", b"\r")),
        st.just(b"\x00" * length),
        st.just(content * 2),
    )


@st.composite
def damaged_table(draw: st.DrawFn, content: bytes) -> bytes:
    """A CSV file with some fields, columns or rows that are not what they were."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    match draw(st.sampled_from(["field", "field", "field", "drop", "twice", "shuffle", "column", "heading"])):
        case "field":
            for _ in range(draw(st.integers(1, 3))):
                row = draw(st.integers(0, len(rows) - 1))
                rows[row][draw(st.integers(0, len(rows[row]) - 1))] = draw(st.sampled_from(ODD))
        case "drop":
            del rows[draw(st.integers(0, len(rows) - 1))]
        case "twice":
            rows.insert(draw(st.integers(0, len(rows))), rows[draw(st.integers(0, len(rows) - 1))])
        case "shuffle":
            rows[1:] = draw(st.permutations(rows[1:])) if len(rows) < 50 else rows[:0:-1]
        case "column":
            column = draw(st.integers(0, len(rows[0]) - 1))
            rows = [row[:column] + row[column + 1 :] for row in rows]
        case _:
            rows[0][draw(st.integers(0, len(rows[0]) - 1))] = draw(st.sampled_from(rows[0]))
    return "".join(f"{','.join(row)}\n" for row in rows).encode("utf-8", "surrogatepass")


@st.composite
def damaged_json(draw: st.DrawFn, content: bytes) -> bytes:
    """A JSON document in which some values are others, or are missing."""
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 2))):
        holder, key = draw(st.sampled_from(_places(document)))
        if draw(st.integers(0, 4)) == 0 and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = deepcopy(draw(st.sampled_from(WRONG)))  # it may be damaged in turn
    return json.dumps(document).encode()


def _places(value):
    """Where each value of a document stands: what holds it, and the key there."""
    found = []
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            found += [(value, key), *_places(part)]
    return found


@st.composite
def damaged_toml(draw: st.DrawFn, content: bytes) -> bytes:
    """A TOML file in which some values are others, are missing, or are there twice."""
    lines = content.decode().splitlines()
    for _ in range(draw(st.integers(1, 2))):
        number = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[number].partition("=")
        match draw(st.sampled_from(["value", "value", "value", "drop", "twice"])):
            case "value" if equals:
                lines[number] = f"{key}= {draw(st.sampled_from(TOML))}"
            case "drop":
                del lines[number]
            case _:
                lines.insert(draw(st.integers(0, len(lines))), lines[number])
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
