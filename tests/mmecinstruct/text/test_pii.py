"""Personal data becomes a typed token; similar texts are kept."""

from __future__ import annotations

import random
import re
import time

import pyarrow as pa
import pytest

from mmecinstruct.schemas.tables import REVIEWS
from mmecinstruct.text.hygiene import clean_reviews
from mmecinstruct.text.pii import PERSONAL_DATA_KINDS, TOKENS, mask_personal_data, suspected_kinds
from mmecinstruct.text.pii_numbers import passes_luhn

# The text between « and » is personal data of the kind.
POSITIVE: dict[str, list[str]] = {
    "email": [
        "Write to «jane.doe@example.com» please",
        "«JANE_DOE+shop@mail.example.co.uk», thanks",
        "my mail («x1@y2.io») works",
        "mailto:«a@b.org»",
        "«first-last@sub-domain.example.info».",
        "seller:«sales%us@example.net»!",
        "Contact «jörg.müller@beispiel.de» directly",
        "two: «a@b.com», «c@d.com»",
        "reach me at «jane (at) example (dot) com»",
        "«jane[at]example.com» is mine",
        "«jane at gmail dot com» is mine",
        "«jane.doe at yahoo.com» for details",
        "«bob at shop dot org»",
        "<«jane@example.com»>",
        "E-mail: «o_neil99@aol.com»",
        "«0815@example.museum»",
        "Mail «jane_doe (at) example.co.uk» for it",
        "Reach me: «john dot doe at example dot com»",
        "Write to «john . doe @ example . com» now",
        "«jane.doe [at] example [dot] org» is mine",
        "«erika (ät) beispiel punkt de»",
        "邮箱是«jane@example.com»谢谢",
    ],
    "url": [
        "see «https://example.com/a?b=c#d».",
        "see «http://192.0.2.1:8080/x» now",
        "(«https://example.com/path»)",
        "«www.example.de/produkt»!",
        "go to «example.com» for more",
        "«Example.COM», the shop",
        "«shop.example.co.uk» is cheaper",
        "«example.org/reviews/12?x=1», he said",
        "better at «my-shop.net».",
        "«bit.ly/3xYzAb» has the video",
        "«youtu.be/dQw4w9WgXcQ»",
        "«ftp://example.org/file»",
        "it is on «HTTP://EXAMPLE.ORG»",
        "look...«example.com» has it",
        "«a.b.c.example.edu»",
        "«https://example.com/a-very-long/path/with_underscores/and~tilde%20x»",
    ],
    "ip_address": [
        "from «8.8.8.8» again",
        "server «203.0.114.7», port 80",
        "ip:«151.101.1.69»",
        "(«93.184.216.34»)",
        "«1.1.1.1» is fast",
        "«142.250.185.78».",
        "my address is «84.23.99.12»",
        "ping «9.9.9.9»",
        "at «2606:4700:4700::1111» too",
        "«2001:4860:4860:0:0:0:0:8888»",
        "«2a00:1450:4001:81b::200e», mine",
        "[«185.199.108.153»]",
        "blocked «45.33.32.156» and «45.33.32.157»",
        "IP «104.16.132.229»?",
        "from «17.253.144.10» on Monday",
    ],
    "iban": [
        "to «DE89 3704 0044 0532 0130 00», please",
        "to «GB82 WEST 1234 5698 7654 32», please",
        "to «FR14 2004 1010 0505 0001 3M02 606», please",
        "to «NL91ABNA0417164300», please",
        "to «BE68 5390 0754 7034», please",
        "to «CH93 0076 2011 6238 5295 7», please",
        "to «ES91 2100 0418 4502 0005 1332», please",
        "to «IT60 X054 2811 1010 0000 0123 456», please",
        "to «AT61 1904 3002 3457 3201», please",
        "to «SE45 5000 0000 0583 9825 7466», please",
        "to «NO93 8601 1117 947», please",
        "to «DK50 0040 0440 1162 43», please",
        "to «FI21 1234 5600 0007 85», please",
        "IBAN «DE00 1234 5678 9012 3456 78» with a slip",
        "IBAN: «de89370400440532013000».",
        "«DE89-3704-0044-0532-0130-00» in groups",
        "«DE89 3704 0044 0532 0130 00» FOR ME",
    ],
    "order": [
        "Order «112-5550100-0000001»",
        "order #«114-0001234-7654321» is lost",
        "«302-5550142-0000002».",
        "Bestellung «302-1234567-1234567»",
        "(«701-1234567-1234567»)",
        "订单«112-1234567-1234567»",
        "commande «404-1234567-7654321»",
        "«111-0000000-0000000» and «111-0000000-0000001»",
        "order no. «250-1234567-0000000»,",
        "ORDER «D01-1234567-1234567»",
        "my order number is «113-1234567-1234567»!",
        "'«205-1234567-1234567»'",
        "re: «206-1234567-1234567»?",
        "«503-1234567-1234567» (Japan)",
        "pedido «171-1234567-1234567»",
    ],
    "card": [
        "charged «4111 1111 1111 1111» twice",
        "«4111111111111111»",
        "«4111-1111-1111-1111», 12/25",
        "card «5500 0000 0000 0004» 123",
        "«5555555555554444»",
        "amex «3782 822463 10005»",
        "«378282246310005»",
        "«371449635398431» expired",
        "discover «6011 1111 1111 1117»",
        "«6011000990139424»",
        "diners «30569309025904»",
        "jcb «3530111333300000»",
        "mastercard «2223 0031 2200 3222»",
        "old visa «4222222222222»",
        "maestro «6759649826438453».",
        "«4012 8888 8888 1881»!",
    ],
    "social_security": [
        "my ssn is «123-45-6789»",
        "«219-09-9999»",
        "SSN: «078-05-1120».",
        "they wanted «512-33-4455»!",
        "(«321-54-9876»)",
        "social security number «457555462»",
        "SSN «457555462» leaked",
        "number 1: «601-12-3456»",
        "«700-11-2233», he said",
        "«001-01-0001»",
        "«123 45 6789» was on the label",
        "it printed «450-22-1098» there",
        "tax id «456-78-9012»",
        "«333-22-4444» and «333-22-4445»",
        "social security no. «212098765»",
        "NI number «QQ 12 34 56 C» for a kettle",
        "Mi DNI «12345678Z» salía",
        "Meu CPF «111.444.777-35» estava",
    ],
    "phone": [
        "call «(555) 234-5678» now",
        "call «555-234-5678»",
        "«555.234.5678» is the number",
        "«555 234 5678», ask for parts",
        "«1-800-234-5678»!",
        "«+1 555 234 5678»",
        "«+1-555-234-5678 ext. 12»",
        "«555-234-5678 x123» works",
        "«(212)555-2368».",
        "«+44 20 7946 0958»",
        "«+44 (0)20 7946 0958» in London",
        "«+49 30 1234567»",
        "«+33 1 23 45 67 89»",
        "«+919876543210»",
        "«020 7946 0958» in office hours",
        "«07700 900123»",
        "«01 23 45 67 89»",
        "«0044 20 7946 0958»",
        "phone: «5552345678»",
        "tel. «555-1234»",
        "call me at «555 1234»",
        "Call customer service at «800 555 1234»",
        "«1-800-FLOWERS» was no help",
        "«1-877-MY-PHONE»",
        "text me on «2345678»",
        "whatsapp «9876543210»",
        "手机 «13000000000» 可以",
        "手机号码是«13000000000»",
        "电话：«138-0000-1234»。",
        "電話は«090-1234-5678»です",
        "Tel.: «0171 3920055», abends",
        "Llámame al «612 345 678»",
        "Rufen Sie mich unter «030 23125 014» an",
        "Whatsapp «(11) 91234-5678»",
    ],
    "address": [
        "ship to «123 Main Street» please",
        "«1600 Pennsylvania Avenue»",
        "at «42 Elm St», first door",
        "«350 Fifth Ave, New York, NY 10118»",
        "«742 Evergreen Terrace»",
        "«221B Baker Street»",
        "«12 N. Oak Drive, Apt 4»",
        "«77 Massachusetts Ave., Cambridge, MA 02139-4307»",
        "«P.O. Box 1234, Springfield, IL 62701»",
        "«PO Box 99» is what they gave",
        "I live in «Portland, OR 97201»",
        "«Springfield, Illinois 62701».",
        "in «California 90210»",
        "«350 West 42nd Street»",
        "«12 maple street apt 3»",
        "«500 oak rd austin, TX 78701»",
        "«8 King's Road» is the shop",
        "«100 Queen Street».",
        "«290 Bremner Blvd, Toronto, ON M5V 3L9»",
        "wohne in der «Beispielstraße 12, 10115 Berlin»",
        "an «Am Alten Markt 7, 50667 Köln» geliefert",
        "«Hauptstr. 5a» in der Mitte",
        "habite au «12 rue de l'Exemple, 75001 Paris»",
        "au «8 bis avenue des Tests, 69003 Lyon» par erreur",
        "«Voorbeeldstraat 12, 1012 AB Amsterdam»",
        "en la «calle del Ejemplo 24, 28001 Madrid»",
        "in «via dell'Esempio 5, 00184 Roma»",
        "«12 Example Road, London SW1A 1AA»",
        "«Flat 4, 27 Church Lane, Leeds LS1 1AA»",
        "«10 Example Street, Sydney NSW 2000»",
        "«Kungsgatan 4, 111 22 Stockholm»",
    ],
    "name": [
        "Hi, my name is «John»",
        "my name is «John Smith» and I love it",
        "My name is «Mary-Jane O'Neil».",
        "my name's «Bob», nice to meet you",
        "my name is «john», I bought two",
        "MY NAME IS «JOHN» AND I LOVE IT",
        "I am called «Ishmael».",
        "I'm called «Ann B. Clark» here",
        "Hello, this is «Susan» from Ohio",
        "Hi there, I'm «Peter Parker» from Queens",
        "Hey! this is «Tom» again",
        "my full name is «José García Márquez»",
        "me llamo «Carlos»",
        "Je m'appelle «Amélie»",
        "Ich heiße «Jürgen»",
        "mi chiamo «Giulia Rossi»",
        "My name is «Ludwig van Beethoven» by the way",
    ],
    "handle": [
        "follow «@jane_doe»",
        "tag «@JaneDoe99» in it",
        "(«@some.body»)",
        "thanks «@reviewer1»!",
        "«@abc» said so",
        "user «u/some_user» posted it",
        "by «/u/gadget-guy».",
        "my gamertag is «xXsn1per_77Xx»",
        "gamer tag: «Halo_Fan»",
        "my instagram is «jane_doe»",
        "instagram: «@jane.doe»",
        "PSN ID is «GodOfWar2018»",
        "skype name: «live_jane1»",
        "twitter handle is «@janed0e»",
        "discord: «jane#1234»",
        "snapchat username is «jane_99»",
        "skype: «john.doe.example»",
        "微信号是«jane_doe88»，谢谢",
    ],
}
NEGATIVE: dict[str, list[str]] = {
    "email": [
        "4 @ $5.00 each", "meet me @ home", "2@once", "rated 5@5", "look at dot com shops", "the dot at the end",
        "@ the store", "user@", "@domain.com", "a@b", "sit at home (at) last", "I am at yahoo now", "dot at com",
        "50% @ Target", "x @ y . z", "sale @ Target. It is", "2 @ some point in life", "dot your i at the end",
        "he. jane at home",
    ],
    "url": [
        "e.g. this one", "U.S.A. made", "readme.txt and file.pdf", "works.it is good", "the end.The next",
        "ASP.NET core",
        "Node.js and VB.NET", "version 2.0.com", "i.e. nothing", "a.m. or p.m.", "Dr. Who", "no.1 choice",
        "vs.the other",
        "great product...would buy", "size 10.5/11", "and/or", "St. John", "3.5/5 stars", "me.You know", "net.weight",
    ],
    "ip_address": [
        "version 1.2.3.4", "firmware 10.0.1.12", "192.168.1.1 opens the router", "10.0.0.1", "127.0.0.1", "v5.1.0.2",
        "Updated to 8.1.2.3", "1.2.3", "1.2.3.4.5", "300.1.2.3", "12:30:45", "ratio 4:3:2", "255.255.255.0",
        "1.10.100.1000", "fe80::1 is local", "a::b",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 01", "the IBAN field", "IBAN has 34 characters", "XX89 3704 0044 0532 0130 00",
        "DE2019 model", "GB82", "BE 300 and NL 12", "HP 12C 1234 5678 9012", "FR14 inch", "LT20 20 W 20 V 20 A",
        "DE89 3704 0044 0532 0130", "A4 2024 2025 2026 2027 2028 2029", "ES91 ES92 ES93 ES94 ES95 ES96",
        "XDE89370400440532013000", "SE45 W 5000 K", "MK19 MK20 MK21 MK22 MK23 MK24",
    ],
    "order": [
        "order 112-555", "112-1234567", "112-1234567-12345678", "1112-1234567-1234567", "112-1234567-1234567-1",
        "112 1234567 1234567", "12-1234567-1234567", "112-123456-1234567", "112-1234567-123456",
        "A-112-1234567-1234567",
        "order 4711", "100-200-300", "2019-1234567-2020", "1-800-1234567", "112.1234567.1234567",
    ],
    "card": [
        "4111 1111 1111 1112", "9780306406157", "ISBN 978-0-306-40615-7", "1234567890123456", "0000 0000 0000 0000",
        "tracking 9400 1000 0000 0000 0000 00", "4006381333931", "5901234123457", "model 4111111111111111",
        "order 4111-1111-1111-1111", "2010 2011 2012 2013", "3.14159265358979", "$4111111111111111",
        "1111111111111111",
        "8 12 16 20 24 28 32 36", "123456789012",
    ],
    "social_security": [
        "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "model 123-45-6789",
        "part no. 123-45-6789", "1123-45-6789", "123-45-67890", "123-456-789", "A123-45-6789", "10-20-3000",
        "SKU: 123-45-6789", "item #123-45-6789", "457555462 units",
    ],
    "phone": [
        "ISBN 0-306-40615-2", "978-0-306-40615-7", "model 555-234-5678", "part # 234-567-8901", "1920x1080",
        "$234.567.8901",
        "in 2010-2011", "from 1999 to 2003", "12-05-2012", "2012-05-12", "called 3 times in 2012-2013",
        "sizes 10 12 14 16",
        "234567890123", "5552345678", "T555-234-5678", "item 234 567 8901", "100-200 sheets", "555-1234",
        "call of duty 4", "call on 12.05.2012", "text 1000000 times", "phone 6 and phone 7", "PN-234-567-8901",
        "1,234,567", "3.141592653", "ASIN 2345678901", "rated 4.5 of 555",
        "tracking 9400 1000 0000 0000 0000 00", "型号 13000000000", "型番 090-1234-5678",
        "1 800 calories", "800-LUMENS lamp",
    ],
    "address": [
        "2 different places", "100 miles of road", "5 Star Service", "10 Wall Street Journal issues",
        "in 3 Easy Ways",
        "drove 50 Mile Drive-ins", "42nd street", "Main Street", "101 Dalmatians", "9 Good Dr. Phil shows",
        "3 way switch",
        "OK 12345 pieces", "IN 10000 HOURS", "12 St. Patrick hats", "a 2 lane road", "24 hour drive",
        "size 12 court shoes",
        "5 Star Street tacos", "The 5 Piece Lane set looks good", "12 Piece Lane set", "4 Corner Court shoe rack",
        "Die Hauptstraße ist laut", "In 12 Straßen getestet", "Le 12 avenue est un livre", "Billy 5 2023 Edition",
        "Galaxy Tab A8 4GB", "via USB 3", "Playstation 5, 2023",
        "box 12 of 20", "model CA 90210X", "500 square feet", "4 drive bays", "20 circle stickers",
    ],
    "name": [
        "My name is misspelled", "my name is on the box", "MY NAME IS ON THE LIST", "my name isn't there",
        "I am called a snob", "they call me often", "This is Vogue from the 90s", "this is great from start to end",
        "the brand name is Sony", "its name is Rex", "my name is not printed", "my name was wrong",
        "my names are many",
        "Hi, this is a great mug", "Hello, I'm American from birth", "I'm called in at night often",
        "say my name is what",
        "put my name in gold", "my name is engraved",
    ],
    "handle": [
        "4 @ 5", "meet @ home", "@home", "@work all day", "@5pm", "@ Amazon", "a@b", "u/", "and/or u/s",
        "my twitter is broken", "instagram is great", "the snapchat: awful", "C@t", "price @10", "skype is slow",
        "@@@", "km/u/s",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "marked"), [(kind, text) for kind, texts in POSITIVE.items() for text in texts]
)
def test_personal_data_becomes_a_token_of_its_kind(kind: str, marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    masked, counts = mask_personal_data(text)
    assert masked == re.sub("«.*?»", TOKENS[kind], marked)
    assert counts == {kind: marked.count("«")}
    assert mask_personal_data(masked) == (masked, {})


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in NEGATIVE.items() for text in texts]
)
def test_texts_that_resemble_personal_data_are_kept(kind: str, text: str) -> None:
    assert mask_personal_data(text, [kind]) == (text, {})


def test_every_kind_has_at_least_fifteen_cases_of_each_sign() -> None:
    for cases in (POSITIVE, NEGATIVE):
        assert set(cases) == set(PERSONAL_DATA_KINDS)
        assert all(len(set(texts)) >= 15 for texts in cases.values())


def test_only_the_wanted_kinds_are_masked() -> None:
    text = "I am at jane@example.com or 555-234-5678"
    assert mask_personal_data(text, ["phone"]) == ("I am at jane@example.com or [PHONE]", {"phone": 1})
    assert mask_personal_data(text, []) == (text, {})
    assert mask_personal_data(text) == ("I am at [EMAIL] or [PHONE]", {"email": 1, "phone": 1})


def test_tokens_are_never_touched_again() -> None:
    tokens = " ".join(TOKENS.values())
    for text in (
        tokens,
        tokens.replace(" ", ""),
        f"My name is {tokens}",
        f"call {tokens}",
        f"www.{tokens}.com",
    ):
        masked, counts = mask_personal_data(text)
        assert (masked, counts) == (text, {})


PIECES = [
    *(text.replace("«", "").replace("»", "") for texts in POSITIVE.values() for text in texts),
    *(text for texts in NEGATIVE.values() for text in texts),
    *(
        ".",
        ",",
        "-",
        "@",
        " ",
        "/",
        "://",
        "www.",
        "1",
        "555",
        "+",
        "(",
        ")",
        "[",
        "]",
        "a",
        "my name is ",
        "call ",
    ),
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("deliver to Beispielstraße 12, 10115 Berlin", "deliver to [ADDRESS]"),
        ("mug for calle del Ejemplo 24, 28001 Madrid", "mug for [ADDRESS]"),
        ("12 rue de l'Exemple, 75001 Paris", "[ADDRESS]"),
        ("P.O. Box 123", "[ADDRESS]"),
        ("12 Example Street Apt 4", "[ADDRESS]"),
        ("Springfield, IL 00000", "[ADDRESS]"),
        ("calle del Ejemplo 24", "calle del Ejemplo 24"),
    ],
)
def test_a_whole_address_in_a_name_is_masked(text: str, shown: str) -> None:
    assert mask_personal_data(text, names=True)[0] == shown


@pytest.mark.parametrize(
    "text",
    [
        "look @ this . it is great",
        "I was @ work . me too",
        "Got 3 @ Walmart . no complaints",
        "I live @ home . in Texas",
        "bought it @ casa . es muy buena",
        "We ate @ mom . us three",
    ],
)
def test_a_sentence_behind_a_loose_full_stop_is_no_ending(text: str) -> None:
    assert mask_personal_data(text) == (text, {})


@pytest.mark.parametrize("text", ["john . doe @ example . com", "jane@example . it", "jane @ example.it"])
def test_an_address_with_loose_full_stops_is_masked(text: str) -> None:
    assert mask_personal_data(text)[0] == "[EMAIL]"


def test_masking_is_idempotent_and_hints_miss_nothing() -> None:
    draw = random.Random(3)
    texts = [
        draw.choice(("", " ", "-")).join(draw.choice(PIECES) for _ in range(draw.randint(1, 12)))
        for _ in range(1500)
    ] + PIECES
    suspected = {kind: hints.to_pylist() for kind, hints in suspected_kinds(pa.array(texts)).items()}
    for place, text in enumerate(texts):
        masked, _ = mask_personal_data(text)
        assert mask_personal_data(masked) == (masked, {})
        in_name, _ = mask_personal_data(text, names=True)
        assert mask_personal_data(in_name, names=True) == (in_name, {})
        for kind, hints in suspected.items():
            assert hints[place] or not mask_personal_data(text, [kind])[1], (kind, text)
    rows = [{"review_id": str(place), "text": text} for place, text in enumerate(texts)]
    cleaned = clean_reviews(pa.Table.from_pylist(rows, schema=REVIEWS), PERSONAL_DATA_KINDS)
    assert cleaned["text"].to_pylist() == [mask_personal_data(text)[0] for text in texts]


def test_numbers_one_behind_another_are_all_masked_at_once() -> None:
    masked, counts = mask_personal_data("call " + "0171 3920055 " * 40)
    assert masked == "call " + "[PHONE] " * 40
    assert counts == {"phone": 40}


def test_texts_without_a_trace_are_not_suspected() -> None:
    texts = pa.array(["I love this mug.", "It broke after 2 days", None, "Write to a@b.com"])
    suspected = suspected_kinds(texts)
    assert suspected["email"].to_pylist() == [False, False, False, True]
    assert not any(hints[place].as_py() for hints in suspected.values() for place in range(3))


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a",
            "1",
            " ",
            ".",
            "-",
            "@",
            "a.",
            "1.",
            "1 ",
            "1-",
            "a@",
            "@a",
            "1-1",
            "a-",
            "(1)",
            "+1",
            ":",
            "0:",
            "f:",
        ),
        *(
            "www.",
            "http://",
            "a.com",
            "555-",
            "555 ",
            "call ",
            "call.",
            "my name is ",
            "My Name Is A ",
            "A ",
            "Aa ",
            "A, ",
        ),
        *(
            "1 Aa ",
            "12 Aa Aa ",
            "Aa, CA ",
            "1 a b ",
            "4111 ",
            "123-45-",
            "P.O. ",
            "hi ",
            "DE89 ",
            "AB12 ",
            "dot a ",
            " . a",
            "@ a ",
            "rue A ",
            "Astraße 1 ",
            "A 1, ",
            "Flat 4, ",
            "[at] ",
            "0171 ",
            "手机",
            "Hi, this is A",
            "u/a",
            "ext. ",
        ),
        *(
            "dot ",
            "a at b ",
            "my name is A. ",
            "1st ",
            "NY ",
            "00 ",
            "0044 ",
            "1-8",
            "1-800-A",
            "instagram: ",
            "de la ",
        ),
    ],
)
@pytest.mark.parametrize("length", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_the_time_grows_with_the_length_and_not_faster(unit: str, length: int) -> None:
    text = (unit * (length // len(unit) + 1))[:length]
    started = time.process_time()
    masked, _ = mask_personal_data(text + "!")
    mask_personal_data(masked)
    assert time.process_time() - started < length / 10_000


@pytest.mark.parametrize(
    ("number", "valid"),
    [("79927398713", True), ("79927398710", False), ("0", True), ("18", True), ("81", False)],
)
def test_luhn(number: str, valid: bool) -> None:
    assert passes_luhn(number) is valid
