"""Words of scripts with and without blanks."""

from __future__ import annotations

import duckdb
import pytest

from mmecinstruct.text.words import count_words, normalised_text, sql_word_count, tokens

TEXTS = [
    ("Red, red MUG (350 ml)", 5),
    ("  it works as it should - and looks good  ", 9),
    ("extraordinarily uncomplicated thermodynamically", 3),
    # 25 characters, of which two are a word.
    ("质量很好，和图片上一样，家里人都很喜欢。质量很好，和", 12),
    ("写真のとおりの色で、家族みんなが気に入っています。", 12),
    ("コーヒー カップ", 4),
    ("ｺｰﾋｰ", 2),
    # 57 characters, of which four are a word.
    ("คุณภาพดีมากเหมือนในรูปทุกอย่างคนในบ้านชอบกันหมดคุณภาพ", 14),
    ("ຄຸນນະພາບດີຫຼາຍ", 4),
    ("គុណភាពល្អណាស់", 4),
    ("အရည်အသွေးကောင်းတယ်", 5),
    ("Отличная кружка, очень лёгкая", 4),
    ("جودة ممتازة وسعر مناسب", 4),
    ("बहुत अच्छी गुणवत्ता", 3),
    ("iPhone 15用ケース", 4),
    ("很好！Very good", 3),
    ("좋은 제품입니다", 2),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_words_are_counted_in_every_script(text: str, expected: int) -> None:
    assert count_words(text) == expected


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_sql_counts_the_same_words(text: str, expected: int) -> None:
    counted = duckdb.execute(f"SELECT {sql_word_count('t')} FROM (SELECT ? AS t)", [text]).fetchone()
    assert counted == (expected,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Ｆｕｌｌ-width ½ STRASSE, straße!", "full width 1 2 strasse strasse"),
        ("…!?", ""),
        # A vowel sign belongs to its word, which `\w` alone would cut.
        ("बहुत अच्छी गुणवत्ता", "बहुत अच्छी गुणवत्ता"),
        ("كِتَاب جديد", "كِتَاب جديد"),
        ("İstanbul cezve", "i̇stanbul cezve"),
        ("iPhone15用ケース（黒）", "iphone15 用ケース 黒"),
        ("加厚350毫升杯", "加厚 350 毫升杯"),
        ("แก้วกาแฟ 350มล", "แก้วกาแฟ 350 มล"),
        ("ｺｰﾋｰカップ・大", "コーヒーカップ 大"),
        # A keycap and a pictograph are no letters.
        ("1️⃣ Mug ☕️", "1 mug"),
    ],
)
def test_texts_are_normalised_to_words(text: str, expected: str) -> None:
    assert normalised_text(text) == expected
    assert normalised_text(expected) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red, red MUG", ["red", "red", "mug"]),
        ("陶瓷马克杯", ["陶瓷马", "瓷马克", "马克杯"]),
        ("iPhone用ケース 黒", ["iphone", "用ケー", "ケース", "黒"]),
        ("ชาเขียว", ["ชาเ", "าเข", "เขี", "ขีย", "ียว"]),
        ("Лёгкая кружка", ["лёгкая", "кружка"]),
        ("", []),
    ],
)
def test_texts_of_scripts_without_blanks_are_compared_by_ngrams(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_a_long_text_is_counted_in_linear_time() -> None:
    assert count_words("！" * 200_000 + "好" * 200_001 + "!" * 200_000) == 100_002
