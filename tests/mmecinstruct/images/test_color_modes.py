"""Every mode of an image file is converted to the RGB that viewers show."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms

from mmecinstruct.images.measure import measure_image
from mmecinstruct.images.settings import ImageSettings

SETTINGS = ImageSettings(longest_side=128)
# Its images of this mode end too early: they are rejected.
NO_YCBCR_TIFF = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="written by Pillow 13 and later"
)


def normalised(content: bytes, images) -> np.ndarray:
    outcome = measure_image(content, SETTINGS)
    assert outcome.reason == "", outcome.detail
    result = images.decoded(outcome.jpeg)
    assert result.mode == "RGB"
    return np.asarray(result, dtype=float)


def deep(images, kind: str, top: float) -> Image.Image:
    """Return the grey photo with values up to `top`, in Pillow's mode for that type of number."""
    grey = np.asarray(images.photo(mode="L"), dtype=np.float64) / 255
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[kind]
    return Image.fromarray((grey * top).astype(dtype))


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [
        ("RGB", "PNG", 2),
        ("RGBA", "PNG", 2),
        ("P", "PNG", 12),
        ("P", "GIF", 12),
        ("CMYK", "TIFF", 2),
        pytest.param("YCbCr", "TIFF", 3, marks=NO_YCBCR_TIFF),
        ("LAB", "TIFF", 4),
        ("CMYK", "JPEG", 4),
        ("RGBX", "TIFF", 2),
    ],
)
def test_a_coloured_mode_keeps_its_colours(mode: str, kind: str, tolerance: float, images) -> None:
    photo = images.photo()
    if mode == "LAB":
        profile, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        source = ImageCms.applyTransform(photo, ImageCms.buildTransform(profile, lab, "RGB", "LAB"))
        assert source is not None
    else:
        source = photo.convert(mode)
    options = {"quality": 95} if kind == "JPEG" else {}
    content = images.encoded(source, kind, **options)
    assert images.decoded(content).mode in (mode, "RGB", "RGBA", "RGBX")
    expected = normalised(images.encoded(photo, "PNG"), images)
    assert np.abs(normalised(content, images) - expected).mean() < tolerance


@pytest.mark.parametrize(
    ("mode", "top", "kind"),
    [
        ("L", 255, "PNG"),
        ("LA", 255, "PNG"),
        ("I;16", 65_535, "PNG"),
        ("I;16", 65_535, "TIFF"),
        ("I", 255, "TIFF"),
        ("I", 65_535, "TIFF"),
        ("I", 2**31 - 1, "TIFF"),
        ("F", 1.0, "TIFF"),
        ("F", 255.0, "TIFF"),
        ("F", 65_535.0, "TIFF"),
    ],
)
def test_a_grey_mode_keeps_its_greys(mode: str, top: float, kind: str, images) -> None:
    source = images.photo(mode=mode) if mode in ("L", "LA") else deep(images, mode, top)
    result = normalised(images.encoded(source, kind), images)
    expected = normalised(images.encoded(images.photo(mode="L"), "PNG"), images)
    # Half the range of unsigned numbers: dark, but in order.
    if top == 2**31 - 1:
        assert np.corrcoef(result.ravel(), expected.ravel())[0, 1] > 0.99
    else:
        assert np.abs(result - expected).mean() < 3


def test_nan_and_infinity_are_bounded(images) -> None:
    values = np.asarray(images.photo(mode="L"), dtype=np.float32) / 255
    values[:40], values[40:60], values[60:70] = np.nan, np.inf, -5
    result = normalised(images.encoded(Image.fromarray(values), "TIFF"), images)
    assert result[:30].max() < 20
    assert result[70:].max() > 100


def test_black_and_white_stays_black_and_white(images) -> None:
    source = images.photo(100, 80, mode="L").point(lambda value: 255 * (value > 128)).convert("1")
    result = normalised(images.encoded(source, "PNG"), images)
    assert np.abs(result - np.asarray(source.convert("RGB"), dtype=float)).mean() < 6


def half_transparent(mode: str) -> Image.Image:
    """Return an image whose left half is red and whose right half is transparent black."""
    rendered = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    rendered.paste((255, 0, 0, 255), (0, 0, 50, 100))
    if mode == "P":
        return rendered.quantize(8)
    return rendered.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "GIF")],
)
def test_transparent_pixels_become_white(mode: str, kind: str, images) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    result = normalised(images.encoded(half_transparent(mode), kind, **options), images)
    assert result[10:90, 60:].min() > 240
    assert result[10:90, 5:40].mean() < 120


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_named_transparent_is_white(mode: str, images) -> None:
    rendered = Image.new(mode, (100, 100), 0)
    rendered.paste(200 if mode == "L" else (200, 10, 10), (0, 0, 50, 100))
    transparent = 0 if mode == "L" else (0, 0, 0)
    result = normalised(images.encoded(rendered, "PNG", transparency=transparent), images)
    assert result[10:90, 60:].min() > 240


def test_invisible_colours_do_not_bleed(images) -> None:
    values = np.full((1000, 1000, 4), (0, 255, 0, 0), dtype=np.uint8)  # an invisible green
    values[250:750, 250:750] = (255, 0, 0, 255)
    result = normalised(images.encoded(Image.fromarray(values), "PNG"), images)
    # Where red meets white there may be every pink, but nothing greener than it is blue.
    assert (result[:, :, 1] - result[:, :, 2]).max() < 30
    assert result[64, 64].tolist() == pytest.approx([255, 0, 0], abs=4)
