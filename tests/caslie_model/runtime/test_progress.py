from __future__ import annotations

import pytest

from caslie_model.runtime import progress
from caslie_model.runtime.progress import Progress


def test_a_bar_within_another_shows_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    for title in ("first", "second"):
        with Progress(title, 2, "rows") as outer:
            with Progress("inner", 5, "prompts") as inner:
                inner.update(5)
            outer.update(1)
    assert [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "first: 1 of 2 rows",
        "second: 1 of 2 rows",
    ]
