"""Which parts the captioner `attributes` tells, what is left out, and what a part names."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from PIL import Image

from caslie_model.captions import attributes
from caslie_model.captions.attributes import AttributeCaptioner
from caslie_model.captions.captioner import CaptionReply, CaptionRequest
from caslie_model.config.captions import CaptionConfig
from caslie_model.errors import ConfigError, ModelError
from tests.caslie_model.captions.conftest import thing

MEASURES = ("colours", "surface", "form")
COLOURS, SURFACE = "The thing is mostly red.", "Its surface looks plain."
FORM = "It is about as wide as tall and takes about 20% of the image, before a plain white background."


@dataclass(frozen=True)
class One:
    """An image under every key."""

    image: Image.Image

    def content(self, key: str) -> bytes:
        stream = io.BytesIO()
        self.image.save(stream, "PNG")
        return stream.getvalue()


def reply_of(captioner: AttributeCaptioner) -> CaptionReply:
    [[(_, reply)]] = captioner.captions([CaptionRequest("a" * 64, "", "b" * 16, "sample c")])
    return reply


@pytest.fixture
def red() -> One:
    return One(thing((200, 35, 40)))


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"classes": ("no_such_classes",), "text": ("no_such_reader", "no_such_runtime")}
    monkeypatch.setattr(attributes, "_PACKAGES", gone)


@pytest.mark.usefixtures("no_packages")
def test_parts_without_their_package_are_left_out_and_said_once(
    red: One, capfd: pytest.CaptureFixture[str]
) -> None:
    captioner = AttributeCaptioner(red, 50)
    assert [reply_of(captioner).text for _ in range(2)] == [f"{COLOURS} {SURFACE} {FORM}"] * 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "attributes: classes is left out, no_such_classes is not installed: pip install 'mmecinstruct[classes]'",
        "attributes: text is left out, no_such_reader and no_such_runtime is not installed: "
        "pip install 'mmecinstruct[ocr]'",
    ]
    assert captioner.provenance["parts"] == list(MEASURES)


@pytest.mark.usefixtures("no_packages")
def test_no_part_left_is_an_error(red: One) -> None:
    with pytest.raises(ModelError, match="no part of attribute_parts is left"):
        AttributeCaptioner(red, 50, ("text",))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("colours",), COLOURS),
        (("form", "surface"), f"{SURFACE} {FORM}"),
        (("form",), FORM),
    ],
)
def test_parts_are_told_as_set(red: One, parts: tuple[attributes.AttributePart, ...], text: str) -> None:
    captioner = AttributeCaptioner(red, 50, parts)
    assert reply_of(captioner).text == text
    assert set(captioner.provenance["parts"]) == set(parts)


def test_a_part_that_does_not_fit_is_left_out(red: One) -> None:
    assert reply_of(AttributeCaptioner(red, 10, MEASURES)).text == f"{COLOURS} {SURFACE}"


def test_finding_nothing_is_said() -> None:
    captioner = AttributeCaptioner(One(Image.new("RGB", (40, 40), "red")), 50, ("surface", "form"))
    assert reply_of(captioner).text == "Nothing was found of: surface, form."


@pytest.mark.parametrize("parts", [[], ["smell"]])
def test_a_wrong_part_is_named(config: Callable[..., CaptionConfig], parts: list[str]) -> None:
    with pytest.raises(ConfigError, match="attribute_parts"):
        config(attribute_parts=parts)


def test_captions_of_other_parts_do_not_mix(red: One) -> None:
    first, second = (
        AttributeCaptioner(red, 50, parts).provenance for parts in (("colours",), ("colours", "form"))
    )
    assert first != second
