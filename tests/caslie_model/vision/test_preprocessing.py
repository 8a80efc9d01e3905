from __future__ import annotations

import pytest
from PIL import Image

from caslie_model.vision.preprocessing import fit

BILINEAR = Image.Resampling.BILINEAR
WHITE, RED = (255, 255, 255), (255, 0, 0)


def test_a_wide_image_is_padded_above_and_below() -> None:
    fitted = fit(Image.new("RGB", (200, 100), RED), (56, 56), BILINEAR)
    assert fitted.size == (56, 56)
    assert fitted.getpixel((28, 13)) == WHITE
    assert [fitted.getpixel((x, y)) for x, y in ((0, 14), (55, 14), (0, 41), (55, 41))] == [RED] * 4
    assert fitted.getpixel((28, 42)) == WHITE


def test_a_small_tall_image_grows_and_is_padded_left_and_right() -> None:
    fitted = fit(Image.new("RGB", (5, 10), RED), (40, 40), BILINEAR)
    assert [fitted.getpixel((x, 20)) for x in (9, 10, 29, 30)] == [WHITE, RED, RED, WHITE]


def test_a_image_of_the_right_size_is_not_touched() -> None:
    image = Image.effect_noise((56, 56), 80).convert("RGB")
    assert fit(image, (56, 56), BILINEAR).tobytes() == image.tobytes()


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000)])
def test_a_line_keeps_at_least_a_pixel(size: tuple[int, int]) -> None:
    fitted = fit(Image.new("RGB", size, RED), (56, 56), BILINEAR)
    assert fitted.getcolors() == [(56, RED), (56 * 55, WHITE)] or len(fitted.getcolors()) == 2


def test_the_input_need_not_be_square() -> None:
    fitted = fit(Image.new("RGB", (100, 100), RED), (60, 20), BILINEAR)
    assert [fitted.getpixel((x, 10)) for x in (19, 20, 39, 40)] == [WHITE, RED, RED, WHITE]
