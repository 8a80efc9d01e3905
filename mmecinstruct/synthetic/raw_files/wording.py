"""Phrases of the miniature's descriptions, bullet points, reviews, questions and queries.

A sentence has three or four phrases, so that some hundred phrases make millions of sentences. Except for the words of
other locales, the phrases are plain ASCII without quotes or backslashes, so JSON, HTML and Parquet need no escapes.
"""

from __future__ import annotations

# Sentences of a description: an opening, a benefit, for whom or when.
SAID_OF_IT: tuple[str, ...] = (
    "This {noun} is made to", "Our {noun} was designed to", "The {noun} will", "One {noun} that helps to",
    "Built to last, this {noun} is ready to", "Every detail of the {noun} is meant to",
    "With this {noun} it is easy to",
    "The new generation of our {noun} can", "From the first day on this {noun} will",
    "The clever design of our {noun} allows you to",
)  # fmt: skip
DOES: tuple[str, ...] = (
    "save time and effort", "keep everything in its place", "stand up to daily use", "give reliable results",
    "fit in with any room", "make hard work lighter", "replace several older items", "stay in shape for years",
    "work right out of the box", "take little space", "look as good as it works", "handle heavy loads",
    "protect what matters to you", "bring comfort to long days", "meet the needs of beginners and experts",
    "reduce noise and vibration", "resist water, dust and scratches", "provide a firm and safe hold",
    "cut down on waste", "set up within minutes", "match what you already own", "keep its color wash after wash",
)  # fmt: skip
WHEN: tuple[str, ...] = (
    " at home or on the road.", " in the office, the garage and the garden.", " whatever the weather.",
    " for the whole family.", " without any special tools.", " day after day.", " even in small rooms.",
    " for weekends and holidays.", " at a fair price.", " with very little care.", " when you need it most.",
    " for years to come.", ", and it makes a welcome gift.", ", backed by our one year warranty.",
    " in professional use.", " from the first try.", " whether you travel or stay.", " and it cleans up in no time.",
)  # fmt: skip

# Bullet points: a heading, a fact, its benefit.
POINT_HEADS: tuple[str, ...] = (
    "DURABLE: ", "EASY TO USE: ", "WHAT YOU GET: ", "Premium quality: ", "Perfect fit: ", "Safe choice: ",
        "Versatile: ",
    "Easy care: ", "Compatibility: ", "Satisfaction guaranteed: ", "Smart design: ", "Great gift: ",
        "Comfortable: ", "",
    "", "", "",
)  # fmt: skip
POINT_FACTS: tuple[str, ...] = (
    "Made of tested materials", "Thick walls and reinforced corners", "No tools needed for assembly",
    "Comes with all mounting parts", "Weighs less than comparable models", "A soft grip and rounded edges",
    "Tested more than ten thousand times", "Fits most standard sizes", "Folds flat in seconds",
    "Two stage finish against rust and stains", "Wipes clean with a damp cloth", "Works with older and newer models",
    "Double stitched seams", "Carefully packed in recycled paper", "Large openings for quick access",
    "Keeps its shape under load", "Certified by an independent laboratory", "Measured by hand before shipping",
    "Low power consumption in standby", "Sealed against dust and splashes",
)  # fmt: skip
POINT_REASONS: tuple[str, ...] = (
    ", so it lasts for years", ", ideal for daily use", " for a secure hold", ", and it is easy to store",
    " without any compromise in quality", ", a choice that you will not regret", " for indoor and outdoor use",
    ", which saves time and money", " and keeps its look", ", suitable for all ages", ". Imported",
    ", please check the size before ordering", " with a one year limited warranty", ", free of harmful substances",
)  # fmt: skip

# Reviews. {noun} is the product's noun, {part} a part of `vocabulary`.
STORIES: tuple[str, ...] = (
    "I bought this {noun}", "We ordered the {noun}", "My husband picked this {noun}", "Got this {noun}",
    "I was looking for a {noun}", "My brother gave me this {noun}", "Needed a new {noun}", "We now own this {noun}",
    "Replaced our old {noun}", "Ordered it as a second {noun}",
)  # fmt: skip
OCCASIONS: tuple[str, ...] = (
    " for my daughter", " for our summer trip", " for the new apartment", " after my old one broke",
    " as a birthday present",
    " to use at work", " for the garage", " because of the other reviews", " on sale", " for a friend who moved",
    " last spring", " about three months ago", " for the guest room", " to replace a more expensive one",
    " on the advice of a neighbor", " for weekend projects", " for my mother in law", " in a hurry", " for the kids",
    " for Christmas",
)  # fmt: skip
AND_SO: tuple[str, ...] = (
    ".", " and opened it right away.", ", here is what I found.", " and have used it every day since.",
    " and it came two days later.", ". Shipping was as promised.", " and compared it with the one I had.",
    ", not knowing what to expect.", " and read the manual first.", ". It was well packed.",
)  # fmt: skip
PART_STARTS: tuple[str, ...] = (
    "The {part}", "In my case the {part}", "As for the rest, the {part}", "After some time the {part}",
    "I have to say that the {part}", "My only comment is that the {part}", "To be fair, the {part}",
    "What I noticed first: the {part}",
)  # fmt: skip
# Opinions on a part, by stars.
PART_OPINIONS: dict[int, tuple[str, ...]] = {
    5: (
        " is outstanding", " works perfectly", " feels solid and well made", " is even better than in the picture",
        " has held up beautifully", " could not be better", " is exactly what I wanted", " still looks brand new",
        " impressed the whole family", " does its job without a hitch",
    ),
    4: (
        " is quite good", " works well most of the time", " is nicely made", " does what it should",
        " is a little smaller than I thought", " is fine for the price", " took a while to get used to",
        " is good, if not perfect", " has a small scratch but works", " is better than on my last one",
    ),
    3: (
        " is okay", " is neither good nor bad", " works, but only just", " is thinner than I hoped",
        " needs some patience", " is average at best", " is all right for occasional use", " could be sturdier",
        " is usable with some effort", " differs from the picture",
    ),
    2: (
        " feels cheap", " is rather disappointing", " came loose within a week", " does not fit properly",
        " stopped working now and then", " is poorly finished", " is not as described", " began to show wear at once",
        " makes an odd noise", " bends far too easily",
    ),
    1: (
        " broke on the first day", " is useless", " never worked at all", " fell apart in my hands",
        " arrived damaged",
        " is pure junk", " failed after two uses", " is an insult for the money", " had to be thrown away",
        " was missing altogether",
    ),
}  # fmt: skip
PART_ENDS: tuple[str, ...] = (
    ".", ", which matters to me.", " so far.", ", at least in my house.", " after a month of use.",
    ", as others have said.",
    ", no matter what the listing says.", " in my opinion.", ", and I use it a lot.",
    " compared with the older model.",
    ", even when it is cold outside.", ", my wife says the same.", " and I tried two of them.", "!",
    ", to my surprise.",
    " right from the start.",
)  # fmt: skip
CLOSINGS: dict[int, tuple[str, ...]] = {
    5: (
        " I would buy it again in a heartbeat.", " Highly recommended!", " Five stars from me.", " Love it!",
        " Already ordered another one.", " Best purchase this year.", "",
    ),
    4: (
        " Would recommend it with a small reservation.", " Good value overall.", " I am happy with it.",
        " Four stars because nothing is perfect.", " I would buy it again.", "",
    ),
    3: (
        " It will do until I find something better.", " Not sure that I would buy it again.", " Average product.",
        " You get what you pay for.", " So three stars.", "",
    ),
    2: (
        " I would not buy it again.", " Look for another brand.", " It goes back next week.", " I expected more.",
        " Two stars for the fast delivery.", "",
    ),
    1: (
        " Do not waste your money.", " I want a refund.", " Stay away from this one.", " Worst purchase in years.",
        " One star is too much.", "",
    ),
}  # fmt: skip
SHORT_REVIEWS: dict[int, tuple[str, ...]] = {
    5: ("Great", "Perfect!", "Love it", "Works great, just what I needed", "Excellent product, fast shipping", "A+"),
    4: ("Good", "Nice product", "Works well", "Pretty good for the price", "Good quality, as described"),
    3: ("Ok", "It is okay", "Average", "Does the job, nothing special", "So so"),
    2: ("Meh", "Not great", "Disappointed", "Did not fit as it should", "Cheaply made"),
    1: ("Junk", "Broke", "Do not buy", "Did not work at all", "Waste of money, very poor quality"),
}  # fmt: skip
SUMMARIES: dict[int, tuple[str, ...]] = {
    5: ("Five Stars", "Five Stars", "Love this {noun}", "Great {noun}!", "Exactly what I needed", "Excellent",
        "Perfect"),
    4: ("Four Stars", "Four Stars", "Good {noun}", "Very nice", "Almost perfect", "Works well", "Solid choice"),
    3: ("Three Stars", "Three Stars", "Just okay", "Average {noun}", "Has its limits", "Fair for the price"),
    2: ("Two Stars", "Two Stars", "Disappointing {noun}", "Not what I expected", "Cheaply made", "Look elsewhere"),
    1: ("One Star", "One Star", "Terrible {noun}", "Broke right away", "Waste of money", "Do not buy this"),
}  # fmt: skip

# Questions: the text before and after the name of a part.
QUESTION_STARTS: tuple[str, ...] = (
    "Does the ", "Is the ", "Can the ", "Will the ", "Has anyone had trouble with the ", "How long does the ",
    "How big is the ", "What is the ", "Do I need to replace the ", "Where can I get another ",
)  # fmt: skip
QUESTION_ENDS: tuple[str, ...] = (
    " come with it?", " last?", " made of metal or plastic?", " fit the older model?", " be washed?", " in the box?",
    " like in real life?", " work outside of the US?", " hold up in the rain?", " after a year?",
    " for a left handed person?",
    " be replaced?", " the same as in the picture?", " strong enough for daily use?",
)  # fmt: skip
# Who would use the product, how and when: questions of a publisher rarely repeat.
QUESTION_USERS: tuple[str, ...] = (
    " My sister", " My father", " Our office", " The school", " My wife", " My husband", " A neighbor",
    " Our club", " My daughter", " My son", " The church", " Our landlord", " A coworker", " My grandmother",
    " The team", " My boss", " Our daycare", " A friend", " My cousin", " The library", " My uncle",
    " Our camp", " The kitchen staff", " My aunt",
)  # fmt: skip
QUESTION_USES: tuple[str, ...] = (
    " would use it in a workshop", " needs it for a trip", " wants to keep it outdoors",
    " plans to hang it on a wall", " would share it with two others", " has to carry it upstairs",
    " would leave it in the car", " wants it for a boat", " needs it in a small flat",
    " would take it to the beach", " has to store it in a shed", " wants it as a spare",
    " would run it all day", " needs it for a stage", " wants it for a dorm room",
    " has to fit it under a desk", " would lend it to students", " needs it beside a stove",
    " wants to mount it on a bike", " has pets around it", " would use it with gloves",
    " needs it at high altitude", " wants it for a market stall", " has very hard water",
    " would ship it overseas", " needs it for a photo shoot", " wants it near a pool", " has a low ceiling",
    " would paint it afterwards", " needs it for a long commute",
)  # fmt: skip
QUESTION_TIMES: tuple[str, ...] = (
    " every weekend.", " next month.", " all winter.", " twice a day.", " from May on.", " for two years.",
    " in August.", " once a year.", " during exams.", " on Sundays.", " after the move.", " before Christmas.",
    " until the wedding.", " in the rainy season.", " at night.", " for about a week.", " most mornings.",
    " over the holidays.", " by Friday.", " since last spring.", " on long drives.", " while teaching.",
    " between shifts.", " from now on.",
)  # fmt: skip
ANSWERS: tuple[str, ...] = (
    "Yes, it does.", "No, sorry.", "I do not know, mine was a gift.", "Yes, and it works fine.",
    "Not that I know of.",
    "It did for me, I have had it for a year.", "Please ask the seller.", "No, you have to buy that apart.",
    "About two feet, give or take.", "It is in the box.",
)  # fmt: skip

# Queries: the text before and after the noun.
QUERY_STARTS: tuple[str, ...] = (
    "", "", "", "", "best ", "cheap ", "small ", "large ", "black ", "white ", "portable ", "heavy duty ",
    "replacement ",
    "mini ", "professional ", "blue ", "waterproof ", "kids ", "womens ", "mens ", "vintage ", "2 pack ",
)  # fmt: skip
QUERY_ENDS: tuple[str, ...] = (
    "", "", "", "", " for men", " for women", " under 50", " with case", " without batteries", " set", " for travel",
    " for small spaces", " not plastic", " made in usa", " gift", " for car", " near me", " 2019",
    " amazon choice", " sale",
)  # fmt: skip
SPANISH: tuple[str, ...] = (
    "l\u00e1mpara", "mochila", "auriculares", "sart\u00e9n", "silla", "zapatillas", "taladro", "almohada", "reloj",
    "cafetera", "ni\u00f1os", "cuchillo", "bicicleta", "cargador", "espejo", "toalla", "negro", "azul", "grande",
    "de acero",
    "inal\u00e1mbrico", "para cocina", "con tapa", "port\u00e1til",
)  # fmt: skip
JAPANESE: tuple[str, ...] = (
    "\u30a4\u30e4\u30db\u30f3", "\u30ea\u30e5\u30c3\u30af", "\u30d5\u30e9\u30a4\u30d1\u30f3", "\u6905\u5b50",
    "\u9774", "\u30c9\u30ea\u30eb", "\u6795", "\u6642\u8a08", "\u30ab\u30e1\u30e9", "\u5305\u4e01",
    "\u81ea\u8ee2\u8eca",
    "\u5145\u96fb\u5668", "\u93e1", "\u30bf\u30aa\u30eb", "\u9ed2", "\u9752", "\u5927\u304d\u3044",
    "\u30b9\u30c6\u30f3\u30ec\u30b9", "\u30ef\u30a4\u30e4\u30ec\u30b9", "\u8efd\u91cf",
)  # fmt: skip
