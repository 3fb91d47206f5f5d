"""How numbers are written for people."""

import pytest

from analysis.words import figures


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (1.005, "1.00"),
        (12345.6, "12,300"),
        (-0.5, "-0.500"),
        # What is rounded up to the next power of ten has three digits as well.
        (9.996, "10.0"),
        (99.96, "100"),
        (999.6, "1,000"),
        (0.9996, "1.00"),
    ],
)
def test_three_digits_are_written(value, written):
    assert figures(value) == written
