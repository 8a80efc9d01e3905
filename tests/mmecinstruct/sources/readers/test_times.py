"""Which times are read, and as what."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from mmecinstruct.sources.readers.times import utc_seconds

DAY, MOMENT = 1672876800, 1672913472  # 5 January 2023, and 10:11:12 on that day


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2023-01-05 10:11:12 UTC", MOMENT),
        ("2023-01-05T10:11:12Z", MOMENT),
        ("2023-01-05 10:11:12", MOMENT),
        ("2023-01-05", DAY),
        ("Jan 5, 2023", DAY),
        ("January 5th, 2023", DAY),
        ("5 January 2023", DAY),
        ("05-Jan-2023", DAY),
        ("Sept. 5, 2023", 1693872000),
        ("2023/01/05", DAY),
        ("2023/01/05 10:11:12", MOMENT),
        ("20230105", DAY),
        (20230105, DAY),
        (20230105.0, DAY),
        ("20230105101112", MOMENT),
        ("1672913472", MOMENT),
        (MOMENT, MOMENT),
        (float(MOMENT), MOMENT),
        (Decimal(MOMENT), MOMENT),
        ("1672913472000", MOMENT),
        ("1672913472000000", MOMENT),
        (MOMENT * 10**9, MOMENT),
        ("2023-01-05 10:11:12 +0000", MOMENT),
        ("2023-01-05 10:11:12+00", MOMENT),
        ("Thu, 05 Jan 2023 10:11:12 GMT", MOMENT),
        ("Thu, 05 Jan 2023 10:11:12 +0000", MOMENT),
        ("Thu Jan 05 2023 10:11:12 GMT+0000 (Coordinated Universal Time)", MOMENT),
        ("2023-01-05T10:11:12.123456789Z", MOMENT),
        ("2023-01-05 10:11:12.123456", MOMENT),
        ("2023-01-05 10:11:12.123456 UTC", MOMENT),
        ("2023-01-05 10:11 AM", MOMENT - 12),
        ("January 5, 2023 at 10:11 pm", MOMENT - 12 + 12 * 3600),
        ("2023-01-05 12:11 AM", DAY + 11 * 60),
        ("05.01.2023", DAY),
        ("05.01.2023 10:11:12", MOMENT),
        ("2023-W01-4", DAY),
        ("2023-01-05 10:11:12 -0500", MOMENT + 5 * 3600),
        ("2023-01-05 10:11:12 GMT-05:00", MOMENT + 5 * 3600),
        ("1.672913472E9", MOMENT),
        ("25/01/2023", DAY + 20 * 86400),
        ("01/25/2023", DAY + 20 * 86400),
        ("1/1/2023", DAY - 4 * 86400),
        (date(2023, 1, 5), DAY),
        (datetime(2023, 1, 5, 10, 11, 12, tzinfo=UTC), MOMENT),
    ],
)
def test_a_time_is_read(value: object, seconds: int) -> None:
    assert utc_seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(
            "05/01/2023",
            "0000-00-00 00:00:00",
            "0000-00-00",
            "-1",
            "",
            "0",
            "45000",
            "31.02.2023",
            "32/13/2023",
        ),
        *(
            "soon",
            "nan",
            "inf",
            "1e400",
            "5 Brumaire 2023",
            "2023-01-05 25:00",
            "20231305",
            "05/01/23",
            "1970-01-01",
        ),
        *(0, -1, 45000, 10**30, float("nan"), True, None, [], {}),
    ],
)
def test_what_is_no_time_is_not_taken_for_one(value: object) -> None:
    assert utc_seconds(value) is None


def test_the_recipe_says_which_number_is_the_day() -> None:
    assert utc_seconds("05/01/2023", True) == DAY
    assert utc_seconds("05/01/2023 10:11:12", True) == MOMENT
    assert utc_seconds("05/01/2023", False) == utc_seconds("2023-05-01")
    assert utc_seconds("05-01-2023", True) == DAY
    assert utc_seconds("01/25/2023", True) is None
