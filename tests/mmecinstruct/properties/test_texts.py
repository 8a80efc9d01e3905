"""Texts, values and URLs: the properties of the small functions hold for every input."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmecinstruct.images.urls import full_size_url, image_urls, is_placeholder
from mmecinstruct.sources.readers.batches import shown
from mmecinstruct.sources.readers.fields import rating_value, relevance_label, text_value, truth_value
from mmecinstruct.sources.readers.times import utc_seconds
from mmecinstruct.text.names import clean_brand, clean_category_path
from mmecinstruct.text.normalise import (
    description_text,
    feature_texts,
    html_to_text,
    is_markup,
    normalise_text,
    plain_title,
)
from mmecinstruct.text.prices import parse_dollars, parse_price

pieces = st.sampled_from(
    (
        *(
            "<b>",
            "</b>",
            "<p>",
            "<br/>",
            "<script>",
            "</script>",
            "<!--",
            "-->",
            "<![CDATA[",
            "<",
            ">",
            "&",
            ";",
        ),
        *(
            "&amp;",
            "&lt;",
            "&gt;",
            "&#60;",
            "&#x3c;",
            "&#xD800;",
            "&nbsp;",
            "amp;",
            "lt;",
            "b>",
            "/",
            "a",
            "1",
        ),
        *(
            " ",
            "\u00a0",
            "\n",
            "\x00",
            "\u200b",
            "\u200d",
            "\u0301",
            "\u0316",
            "\u1100",
            "\ud800",
            "é",
            "می",
            "𝐁",
        ),
        *("\ufeff", "\x92", "{", "}", "getTime", "'", '"', "=", "\u2028", "👩", "ﬁ", "\u0340", "\u0958"),
    )
)
texts = st.lists(pieces | st.text(st.characters(), max_size=3), max_size=25).map("".join)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=5) | st.dates()
    | st.datetimes() | st.times() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


def check_normal(text: str) -> None:
    text.encode()
    assert text == " ".join(text.split())
    assert unicodedata.is_normalized("NFC", text)
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in text)


@given(text=texts)
def test_normal_texts_stay_as_they_are(text: str) -> None:
    once = normalise_text(text)
    check_normal(once)
    assert normalise_text(once) == once
    # The texts around it do not change a text.
    assert normalise_text(f"\n{text} ") == once


@given(text=texts)
def test_the_text_of_a_page_is_normal(text: str) -> None:
    check_normal(html_to_text(text))
    if "<" not in normalise_text(text) and "&" not in normalise_text(text):
        assert html_to_text(text) == normalise_text(text)
    check_normal(plain_title(text))
    check_normal(description_text([text, text]))
    for feature in feature_texts([text]):
        check_normal(feature)
        assert feature
        assert not is_markup(feature)


ELEMENTS = {
    *(
        "a",
        "img",
        "script",
        "style",
        "iframe",
        "object",
        "embed",
        "svg",
        "math",
        "link",
        "meta",
        "form",
        "input",
    ),
    *(
        "video",
        "audio",
        "base",
        "body",
        "html",
        "div",
        "span",
        "br",
        "textarea",
        "noscript",
        "template",
        "table",
    ),
    *("xmp", "noembed", "plaintext", "title", "select", "button", "details", "font", "frame", "marquee"),
}
hidden = st.sampled_from(
    (
        *(
            "<script>",
            "</script>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<a/href=javascript:x>",
        ),
        *(
            "<a x href=javascript:x>",
            "<x onclick=y>",
            "<iframe",
            "<textarea>",
            "<xmp>",
            "<noembed>",
            "<plaintext>",
        ),
        *(
            "<title>",
            "<noscript>",
            "<!--",
            "-->",
            "&lt;script&gt;",
            "&amp;lt;img src=x&amp;gt;",
            "&#60;",
            "&#x3C",
        ),
        *(
            "&ltscript",
            "&LT;",
            "＜script＞",
            "＜",
            "＞",
            "＆lt;",
            "&amp；lt;",
            "&lt\u037e",
            "s\u200bcript",
            "\u00ad",
        ),
        *(
            "&#x200b;",
            "&shy;",
            "&zwnj;",
            "&ZeroWidthSpace;",
            "\ufeff",
            "&Tab;",
            "&NewLine;",
            "<",
            ">",
            "/",
            " ",
            "=",
        ),
        *(
            "&amp;" * 9,
            "amp;" * 9,
            "lt;",
            "script",
            "img",
            "a",
            "b",
            "onload=x",
            "&",
            "\u0338",
            "ſcript",
            "garden&center",
        ),
    )
)


class Tags(HTMLParser):
    """The elements that an HTML parser other than the package's own finds, and those with attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.with_attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if any(value is not None for _, value in attrs):
            self.with_attributes.add(tag)


@given(text=st.lists(hidden | pieces, max_size=25).map("".join))
def test_no_tag_comes_back_after_it_was_removed(text: str) -> None:
    shown = html_to_text(text)
    assert html_to_text(shown) == shown
    found = Tags(shown)
    assert not {name for name in found.elements & ELEMENTS if len(name) > 1}
    assert not found.with_attributes
    title = plain_title(text)
    assert plain_title(title) == title
    assert "<" not in title or is_markup(title)


@given(text=st.text(st.sampled_from("abc <>&é5.,/!?3"), max_size=30).filter(lambda text: "&" not in text))
def test_a_typed_sign_stays_in_its_text(text: str) -> None:
    # No tag that HTML knows can be spelt: its name would need a bracket right behind it.
    if not Tags(text).elements and "<!" not in text and "</" not in text:
        assert html_to_text(text) == normalise_text(text)


@given(value=anything)
def test_any_value_is_a_field_or_none(value: Any) -> None:
    assert rating_value(value) in (None, 1, 2, 3, 4, 5)
    assert truth_value(value) in (None, True, False)
    assert relevance_label(value) in (None, "E", "S", "C", "I")
    seconds = utc_seconds(value)
    assert seconds is None or (type(seconds) is int and abs(seconds) < 10**11)
    assert text_value(value) == text_value(value).strip()
    assert len(shown(value)) < 5_000
    for amount in (parse_dollars(value), parse_price(value)[0]):
        assert amount is None or 0 <= amount < 1e12
    brand = clean_brand(value)
    assert brand is None or (0 < len(brand) <= 100 and not is_markup(brand))
    description_text(value)
    feature_texts(value)


prices = st.lists(
    st.sampled_from(("$", "€", "EUR", " ", "\u00a0", "\u202f", ".", ",", "'", "’", "-", "9" * 400, "1", "0"))
    | st.text(st.characters(), max_size=2)
    | st.integers(0, 9999).map(str),
    max_size=8,
).map("".join)


@given(price=prices)
def test_a_price_is_an_amount_or_none(price: str) -> None:
    amount, currency = parse_price(price)
    assert amount is None or 0 <= amount < 1e12
    assert currency is None or len(currency) == 3
    dollars = parse_dollars(price)
    assert dollars is None or 0 <= dollars < 1e12


@given(
    path=st.lists(texts | st.none() | st.just("Tools &amp; Home"), max_size=6),
    rest=st.lists(texts, max_size=3),
)
def test_text_after_the_cut_of_a_category_path_has_no_effect(path: list[Any], rest: list[str]) -> None:
    names = clean_category_path(path)
    assert len(names) <= len(path)
    assert all(names)
    for name in names:
        check_normal(name)
    if len(names) < len(path):
        assert clean_category_path([*path, *rest]) == names
    else:
        assert clean_category_path([*path, *rest])[: len(names)] == names


urls = st.lists(
    st.sampled_from(
        (
            *(
                "https://",
                "http://",
                "//",
                "m.media-amazon.com",
                "/images",
                "/I/",
                "51q4",
                "%2B",
                "+",
                "._",
                "_.",
                ".",
            ),
            *(
                "SX38_",
                "AC_",
                "jpg",
                ".jpg",
                "?",
                "#",
                "play-button-overlay",
                "01RmK+J4pJL.",
                " ",
                "data:",
                "é",
                "/",
            ),
        )
    ),
    max_size=10,
).map("".join)
images = st.recursive(
    urls | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("hi_res", "large", "thumb", "large_image_url", "x")), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(fields=st.lists(images, max_size=3))
def test_images_are_addresses_at_full_size_each_once(fields: list[Any]) -> None:
    found = image_urls(*fields)
    assert len(set(found)) == len(found)
    for url in found:
        assert url.startswith(("https://", "http://"))
        assert full_size_url(url) == url
        assert not is_placeholder(url)
    assert image_urls(found) == found
