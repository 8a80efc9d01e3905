from __future__ import annotations

from pathlib import Path

import pytest

from caslie_model.config import finetune_config
from caslie_model.forecast import forecast
from caslie_model.forecast_table import compared, duration, forecast_table, size


@pytest.mark.parametrize(
    ("bytes_", "told"), [(0, "0.0 kB"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (1.2345e12, "1,234.5 GB")]
)
def test_bytes_in_words(bytes_: float, told: str) -> None:
    assert size(bytes_) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.26, "0.3 s"), (99.4, "99 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_seconds_in_words(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_table_has_a_number_in_each_line(pictured: Path, tmp_path: Path) -> None:
    asked = finetune_config(
        "tiny",
        ["tasks=[sr]", "device=cpu"],
        data=str(pictured),
        out=tmp_path,
        fusion="xattn",
        with_lora=True,
    )
    found = forecast(asked)
    lines = forecast_table(found).splitlines()
    named = {line[:20].strip(): line[20:].strip() for line in lines}
    assert named["samples"].startswith("8")
    assert named["trained parameters"].startswith(f"{found.trained_parameters:,}  gates")
    assert named["pictures"] == f"{found.pictures}  {found.different_pictures} of them different"
    assert "an estimate" in named["time"]
    assert max(map(len, lines)) <= 110


def test_foretold_and_happened_in_one_line() -> None:
    predicted = {"memory": 2e9, "seconds": 50.0}
    measured = {"memory": 2.2e9, "seconds": 61.2}
    assert compared(predicted, measured) == (
        "memory 2.2 GB at most (2.0 GB foretold), 61 s of training (50 s foretold)"
    )
    assert compared({**predicted, "seconds": None}, measured).endswith("(2.0 GB foretold)")
