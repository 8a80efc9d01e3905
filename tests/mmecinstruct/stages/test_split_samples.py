"""A sample that lacks images says which, and nothing of the machine."""

from __future__ import annotations

import pytest

from mmecinstruct.stages.split_samples import why_missing


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("pics/a.jpg", "pics/a.jpg"),
        ("../jane/a.jpg", "…/a.jpg"),
        ("/home/jane doe/a.jpg", "…/a.jpg"),
        ("file:///home/jane doe/a.jpg", "…/a.jpg"),
        ("C:\\Users\\jane doe\\a.jpg", "…/a.jpg"),
        ("https://jane:pw@h/a.jpg?sig=ABC", "https://h/a.jpg"),
    ],
)
def test_a_missing_image_is_named_without_its_folders(url: str, shown: str) -> None:
    missing = [{"role": "product", "image_urls": [url]}, {"role": "review", "image_urls": []}]
    reason, detail = why_missing(missing, {url: "dead_path"})
    assert (reason, detail) == ("missing_image", f"product: dead_path, {shown}; review: none is named")
