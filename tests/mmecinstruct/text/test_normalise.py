"""Text as publishers ship it becomes text as a person reads it."""

from __future__ import annotations

import re
import time

import pytest

from mmecinstruct.text import normalise
from mmecinstruct.text.names import clean_brand, clean_category_path
from mmecinstruct.text.normalise import (
    MARKUP_LENGTH,
    description_text,
    feature_texts,
    html_to_text,
    is_markup,
    normalise_text,
    plain_title,
)
from mmecinstruct.text.prices import parse_dollars, parse_price


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain words", "plain words"),
        ("  two\t\n words\u00a0here ", "two words here"),
        ("e\u0301te\u0301", "été"),
        ("a\x00b\x07c\u200bd\ufeff", "abcd"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("a\u200eb\u202ec\u2066d\u061ce\u2062f\u180eg\ufff9h\U000e0041i\ufffej", "abcdefghij"),
        ("𝐁𝐨𝐥𝐝 𝓈𝒸𝓇𝒾𝓅𝓉 ｗｉｄｅ！ ﬁt", "Bold script wide! fit"),
        ("5 m² ½ ™", "5 m² ½ ™"),
        ("don\x92t \x81stop", "don’t stop"),
        ("p\u200dho\u200cne", "phone"),
        ("می\u200cخواهم 👩\u200d👧", "می\u200cخواهم 👩\u200d👧"),
        ("Z\u0301\u0316\u0301\u0316\u0301\u0316algo", "Ź\u0316\u0316\u0301algo"),
        ("already \ufffd lost", "already \ufffd lost"),
        ("", ""),
    ],
)
def test_white_space_control_characters_and_forms_are_normalised(raw: str, shown: str) -> None:
    assert normalise_text(raw) == shown
    assert normalise_text(shown) == shown


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("Tom &amp; Jerry&#39;s", "Tom & Jerry's"),
        ("<p>one</p><p>two</p>", "one two"),
        ("<b>bo</b>ld and<br>next", "bold and next"),
        ("<ul><li>red</li><li>blue</li></ul>", "red blue"),
        ("before<script>var a = '<p>';</script><style>p{color:red}</style>after", "beforeafter"),
        ("kept <!-- a comment --> text", "kept text"),
        ("for loads < 5 kg", "for loads < 5 kg"),
        ("escaped once more: &lt;b&gt;bold&lt;/b&gt;", "escaped once more: bold"),
        ("<span class='never closed'", ""),
        ("&amp;amp;lt;b&amp;amp;gt;bold&amp;lt;/b&amp;gt; &amp;#34;twice&amp;#34;", 'bold "twice"'),
        ("<p>Tom &amp;amp; Jerry</p>", "Tom & Jerry"),
        ("I give it <five stars because it works", "I give it <five stars because it works"),
        ("I <3 it, he </3 it, if a<b or b>c", "I <3 it, he </3 it, if a<b or b>c"),
        ("before <script>alert('never closed') after", "before"),
        ("before <style>p{color:red} after", "before"),
        ("before <!-- never closed", "before"),
        ("<o:p>of a word processor</o:p>", "of a word processor"),
        ("a\x00<b>\x00b</b>&#0;&#x200B;", "ab\ufffd"),
        ("AT&T, R&D; 5 &lt; 6", "AT&T, R&D; 5 < 6"),
    ],
)
def test_html_becomes_the_text_that_is_shown(markup: str, shown: str) -> None:
    assert html_to_text(markup) == shown


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("Mug ＜script＞alert(1)＜/script＞ and more", "Mug and more"),
        ("Lamp ＜img src=x onerror=alert(1)＞ in the hall", "Lamp in the hall"),
        ("Rug <s\u200bcript>alert(1)</s\u200bcript> for the floor", "Rug for the floor"),
        ("Kite &lt;scr&#x200b;ipt&gt;alert(1)&lt;/scr&#x200b;ipt&gt; to fly", "Kite to fly"),
        ("Pot &" + "amp;" * 40 + "lt;b&gt;soup", "Pot soup"),
        ("Pot ＆lt;img src=x＆gt; soup", "Pot soup"),
        ("Pot <textarea>&lt;img src=x&gt;</textarea> soup", "Pot soup"),
        ("Pot <a x href=javascript:y>soup", "Pot < a x href=javascript:y>soup"),
        ("Pot <five onclick=y>soup", "Pot < five onclick=y>soup"),
        ("Pot <five/onclick=y>soup", "Pot < five/onclick=y>soup"),
        ("Pot <five<six onclick=y>soup", "Pot < five< six onclick=y>soup"),
        ("list<int> x=3", "list<int> x=3"),
        ("I <heart> it, score=5", "I <heart> it, score=5"),
        ("for(i=0;i<n;i++) x=3", "for(i=0;i<n;i++) x=3"),
        ("x" * MARKUP_LENGTH + "<script>alert(1)</script>", "x" * MARKUP_LENGTH),
    ],
)
def test_no_tag_comes_back_by_normalising(hidden: str, shown: str) -> None:
    assert html_to_text(hidden) == shown
    assert html_to_text(shown) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("I <3 this pot, 5 < 6 and 7 > 3", "I <3 this pot, 5 < 6 and 7 > 3"),
        ("Width 10 ＜ 12 cm, fits", "Width 10 < 12 cm, fits"),
        ("size <10 cm>, Kettle <1.7 L>", "size <10 cm>, Kettle <1.7 L>"),
        ("R&amp;D, R&D, garden&center, a&lte", "R&D, R&D, garden&center, a<e"),
        ("garden&amp;center &copy 2010", "garden&center © 2010"),
        ("one&lt;br&gt;two", "one two"),
        ("tray ﹤img src=x onerror=alert(1)﹥ for seeds", "tray ﹤img src=x onerror=alert(1)﹥ for seeds"),
    ],
)
def test_typed_signs_stay(raw: str, shown: str) -> None:
    assert html_to_text(raw) == shown


def test_a_text_made_to_outlast_the_rounds_has_no_tag() -> None:
    text = "<img src=x>"
    for _ in range(30):
        text = text.replace("&", "&#38;#38;").replace("<", "&#38;lt;")
    assert "<" not in html_to_text(text)
    text = "<b>x"
    for _ in range(30):
        text = f"<xmp>{text}".replace("<", "&lt;").replace("&", "&AMP;")
    shown = html_to_text(text)
    assert "<" not in shown
    assert html_to_text(shown) == shown


def test_text_with_lone_surrogates_can_be_stored() -> None:
    for raw in ("lone \ud800 half", "lone \ud800 <b>half</b>", "&#xD800; half"):
        assert html_to_text(raw).encode().endswith(b"half")


def test_a_number_too_long_for_an_entity_is_an_unknown_character() -> None:
    assert html_to_text("&#" + "9" * 5000 + "; x") == "\ufffd x"
    assert plain_title("Mug &#" + "9" * 5000 + ";") == "Mug \ufffd"
    assert html_to_text("&#" + "0" * 5000 + "38; x") == "& x"


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0316" * 500_000,
        "a" + "\u05b0\u0591" * 500_000,
        "&" * 1_000_000,
        "&amp;" * 200_000,
        "<" * 1_000_000,
        "<a" * 500_000,
        "<!-" * 300_000,
        "\u200d" * 1_000_000 + "a",
        "\u00e9" + "\u200d" * 1_000_000 + "\u00e9",
        " " * 1_000_000 + "\u00e9",
    ],
)
def test_a_line_of_a_megabyte_takes_a_moment(text: str) -> None:
    started = time.monotonic()
    shown = html_to_text(text)
    assert time.monotonic() - started < 5
    assert html_to_text(shown) == shown


def test_deeply_nested_markup_is_bounded() -> None:
    started = time.monotonic()
    assert html_to_text("<div>" * 500_000 + "deep") == ""  # cut after MARKUP_LENGTH, before the word
    assert time.monotonic() - started < 20
    assert html_to_text("<b>a</b>" + "x" * MARKUP_LENGTH).startswith("axxx")


@pytest.mark.parametrize(
    "title", ["<span class='a-size-medium'", ' Magazines" />', "var t = getTime()", ".a-box{color:red}"]
)
def test_pieces_of_pages_are_no_titles(title: str) -> None:
    assert is_markup(plain_title(title))


def test_a_title_resolves_entities_even_twice_escaped() -> None:
    assert plain_title(" Salt &amp; Pepper\n Mill ") == "Salt & Pepper Mill"
    assert plain_title("Salt &amp;amp; Pepper") == "Salt & Pepper"
    assert is_markup(plain_title("&lt;span&gt;"))
    assert not is_markup('29" x 13" (2-pack) > large')


@pytest.mark.parametrize(
    ("price", "dollars"),
    [
        ("$12.99", 12.99),
        ("\n  $1,299.00 - $2,000.00", 1299.0),
        ("$ 5", 5.0),
        (".a-box-inner{background-color:#fff}", None),
        ("<script>$1.50</script>", None),
        ("$,", None),
        ("", None),
        (None, None),
        (12.5, 12.5),
        (float("nan"), None),
        (-1, None),
        (True, None),
    ],
)
def test_amazon_prices_are_dollars_or_nothing(price: object, dollars: float | None) -> None:
    assert parse_dollars(price) == dollars


@pytest.mark.parametrize(
    ("price", "amount", "currency"),
    [
        ("34", 34.0, None),
        (34, 34.0, None),
        (".5", 0.5, None),
        ("1,234", 1234.0, None),
        ("12,50 €", 12.5, "EUR"),
        ("1.234,50", 1234.5, None),
        ("$1,234.50", 1234.5, "USD"),
        ("EUR 9.90", 9.9, "EUR"),
        ("1'200.00 CHF", 1200.0, "CHF"),
        ("CHF 1\u2019200.00", 1200.0, "CHF"),
        ("1\u202f299,00 €", 1299.0, "EUR"),
        ("9" * 400, None, None),
        ("-3", None, None),
        ("on request", None, None),
        ("1.2.3", None, None),
        (None, None, None),
    ],
)
def test_shop_prices_are_read_in_their_usual_forms(
    price: object, amount: float | None, currency: str | None
) -> None:
    assert parse_price(price) == (amount, currency)


@pytest.mark.parametrize(
    "intruder",
    [
        "No expiration, no fees.",
        "</span></span></span>",
        "100% Cotton",
        "Imported",
        "Is it machine washable?",
        "手洗いできます。",
        "a bullet point with many more words than the name of any category has",
        "x" * 61,
        "",
        None,
    ],
)
def test_a_category_path_ends_before_other_text(intruder: object) -> None:
    assert clean_category_path(["Tools &amp; Home", "Lamps & Shades", intruder, "Lost"]) == [
        "Tools & Home",
        "Lamps & Shades",
    ]


def test_real_category_names_are_kept() -> None:
    names = [
        "Clothing, Shoes & Jewelry",
        "12 & Up",
        "Women's Interest",
        "Baby-3",
        "Shirts (Long Sleeve)",
        "靴・バッグ",
    ]
    assert clean_category_path(names) == names


@pytest.mark.parametrize(
    ("brand", "name"),
    [
        ("Visit Amazon's Mary Shelley Page", "Mary Shelley"),
        (" Black &amp; Decker ", "Black & Decker"),
        ("<img src='x'", None),
        ("x" * 101, None),
        ("", None),
        (None, None),
        (["list"], None),
    ],
)
def test_brands_are_names(brand: object, name: str | None) -> None:
    assert clean_brand(brand) == name


def test_descriptions_and_features_leave_scripts_and_empty_parts_out() -> None:
    assert description_text(["<p>One.</p>", "", ".a{color:red}", None, "Two."]) == "One. Two."
    assert description_text("One.") == "One."
    assert description_text(None) == ""
    assert feature_texts(["Washable", "", "<script>x</script>", "p{margin:0}"]) == ["Washable"]
    assert feature_texts("Washable") == ["Washable"]


def test_harmless_texts_are_unchanged_by_full_normalisation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harmless = [
        chr(code) for code in range(0x20000) if normalise._HARMLESS.fullmatch(chr(code)) and code != 0x20
    ]
    assert {"a", "é", "中", "😀", "🤣"} <= set(harmless)
    assert not {"\u0301", "\u200d", "\ufe0f"} & set(harmless)
    monkeypatch.setattr(normalise, "_HARMLESS", re.compile("(?!)"))
    for one in harmless:
        for whole in (one, f"a{one}b", one * 6):
            assert normalise_text(f"é {whole}") == f"é {whole}"
