"""Small random image-text models as captioners."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import caslie_model
from caslie_model.captions.model_captioners import ImageTextCaptioner
from caslie_model.captions.run import LOG
from caslie_model.config.presets import caption_config
from caslie_model.data.image_bytes import SpooledImages
from tests.caslie_model.captions.conftest import rows_of
from tests.caslie_model.inference.conftest import image_text_folder

__all__ = ["image_text_folder"]
SETTINGS = {"device": "cpu", "max_pixels": 3136, "max_tokens": 6, "tasks": ["cc", "prp"], "splits": ["test"]}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm"])
def test_batches_give_the_captions_of_single_images(
    family: str, image_text_folder: Callable[[str], Path], image_dataset: Path, tmp_path: Path
) -> None:
    contents = []
    for size in (1, 4):
        out = tmp_path / str(size)
        result = caslie_model.caption(
            str(image_text_folder(family)), image_dataset, out, name="tiny", batch_size=size, **SETTINGS
        )
        assert result.requests == result.asked > 8
        contents.append([file.read_bytes() for file in result.files])
    assert contents[0] == contents[1]
    captions = {row["caption"] for row in rows_of(out, "tiny", "category_classification", "test")}
    assert len(captions) > 1
    again = caslie_model.caption(
        str(image_text_folder(family)), image_dataset, tmp_path / "4", name="tiny", batch_size=4, **SETTINGS
    )
    assert again.asked == 0
    assert str(tmp_path) not in (out / "captions" / "tiny" / LOG).read_text()
    assert all(
        row["captioner"] == Path(image_text_folder(family)).name
        for row in rows_of(out, "tiny", "category_classification", "test")
    )


def test_a_model_breaks_up_its_own_control_tokens(image_text_folder: Callable[[str], Path]) -> None:
    config = caption_config(captioner=str(image_text_folder("smolvlm")), data="unused", device="cpu")
    with SpooledImages() as images:
        made = ImageTextCaptioner(config, images)
    assert "<end_of_utterance>" in made.control_texts
    assert made.provenance["decoding"] == "greedy"
    assert "/" not in made.provenance["model"]


@pytest.mark.slow
def test_an_image_that_the_processor_refuses_takes_no_caption_from_others(
    image_text_folder: Callable[[str], Path], tmp_path: Path, row: Any, write_rows: Any
) -> None:
    sizes = [(40, 40), (400, 1), (30, 50)]
    rows = []
    for number, size in enumerate(sizes):
        stream = io.BytesIO()
        Image.new("RGB", size, (200, 40, 40)).save(stream, "PNG")
        shown = {"images": [{"bytes": stream.getvalue(), "path": None}], "image_roles": ["product"]}
        rows.append(row(number, "category_classification", "test", **shown))
    data = write_rows(tmp_path / "data", rows)
    result = caslie_model.caption(str(image_text_folder("qwen2_5_vl")), data, name="tiny", **SETTINGS)
    found = rows_of(data, "tiny", "category_classification", "test")
    assert [row["caption"] is None for row in found] == [False, True, False]
    assert "takes no image of 400x1 pixels" in found[1]["reason"]
    assert len(result.reasons) == 1
