"""Sentences of the sample shop's reviews, questions and descriptions, without colours and patterns."""

from __future__ import annotations

# Fragments by stars: an opening, a middle, a closing. No fragment is used for two ratings.
OPENINGS: dict[int, tuple[str, ...]] = {
    5: (
        "Absolutely love it.",
        "Best purchase of the whole year.",
        "Exceeded everything I hoped for.",
        "Wow, what a find.",
        "Perfect in every way.",
        "I could not be happier.",
        "A true delight to own.",
    ),
    4: (
        "Really good overall.",
        "I like it a lot.",
        "Sound choice with one small catch.",
        "Pretty pleased so far.",
        "Nearly everything I wanted.",
        "Good value and nice to use.",
        "A fine product on the whole.",
    ),
    3: (
        "It is okay, nothing more.",
        "Average, I would say.",
        "Mixed feelings about this one.",
        "Does the job, barely noteworthy.",
        "Neither good nor bad.",
        "Middle of the road.",
        "Some things work and some do not.",
    ),
    2: (
        "Rather disappointed.",
        "Not what I hoped for.",
        "Below my expectations.",
        "I expected better than this.",
        "Sadly not very good.",
        "Would think twice next time.",
        "Weak for the money.",
    ),
    1: (
        "Terrible, stay away.",
        "Complete waste of money.",
        "Worst thing I bought in ages.",
        "Awful from the first minute.",
        "Total junk.",
        "I am furious about this.",
        "Do not buy this under any circumstances.",
    ),
}
MIDDLES: dict[int, tuple[str, ...]] = {
    5: (
        "The workmanship is flawless and it feels wonderful in the hand.",
        "We use it every single day and it still looks new.",
        "Everybody who visits asks where I got it.",
        "It arrived early, spotless and beautifully packed.",
        "The quality is outstanding for this price.",
        "Not a single flaw anywhere, even after months.",
    ),
    4: (
        "The finish has a tiny mark, but you have to search for it.",
        "It works well, only the box was a bit dented.",
        "Sturdy and useful, although slightly smaller than I pictured.",
        "It took a few days longer to arrive, otherwise great.",
        "I would have liked a better manual, the thing itself is good.",
        "One edge could be smoother, the rest is well made.",
    ),
    3: (
        "The material is fine, the finish is careless in places.",
        "It works on some days and annoys me on others.",
        "For the price it is acceptable, yet there are better ones.",
        "Half of my family likes it and half does not.",
        "There was a stain that came off only partly.",
        "It is usable, but I do not feel strongly about it.",
    ),
    2: (
        "It shows wear after only a week of careful use.",
        "The parts do not fit together properly.",
        "It looks much cheaper than in the listing.",
        "There was a crack after a few days.",
        "The surface came off far too soon.",
        "I had to repair it before I could use it at all.",
    ),
    1: (
        "It fell apart the moment I opened the parcel.",
        "It broke into pieces on the first day.",
        "Nothing works, and the seller does not answer.",
        "It is useless and went straight to the trash.",
        "It was ruined beyond repair and smelled dreadful.",
        "I demanded a refund within the hour.",
    ),
}
CLOSINGS: dict[int, tuple[str, ...]] = {
    5: (
        "I already ordered a second one!",
        "Five stars are not enough.",
        "Recommended with all my heart.",
        "Simply superb.",
    ),
    4: (
        "Would buy it again.",
        "Recommended with a small reservation.",
        "Good, just short of perfect.",
        "Happy enough to keep it.",
    ),
    3: (
        "It may suit you or not.",
        "I will keep it for lack of something else.",
        "An ordinary thing.",
        "Fair, no more and no less.",
    ),
    2: (
        "I will probably return it.",
        "Hard to recommend.",
        "Look for another one first.",
        "I regret choosing it a little.",
    ),
    1: ("Avoid at all costs!", "I want every cent back.", "Never again.", "One star is too much for it."),
}
SUMMARIES: dict[int, tuple[str, ...]] = {
    5: ("Wonderful", "Love it", "Outstanding", "Perfect"),
    4: ("Very good", "Nice, small flaw", "Good buy", "Pleased"),
    3: ("It is okay", "Average", "So so", "Mixed"),
    2: ("Disappointing", "Not great", "Below par", "Expected better"),
    1: ("Terrible", "Awful", "Junk", "Waste of money"),
}

# Texts of neutral reviews, which are the same for every rating: only the image shows the opinion.
NEUTRAL_OPENINGS: tuple[str, ...] = (
    "Came like this.",
    "This is how it came out of the box.",
    "Photo taken right after opening the parcel.",
    "See the picture.",
    "This is what I received.",
    "The photo says it all.",
    "Here is mine, as delivered.",
    "Opened it today and took a picture.",
    "My photo shows the state in which it arrived.",
    "Picture attached, judge for yourself.",
)
NEUTRAL_MIDDLES: tuple[str, ...] = (
    "I did not change or clean anything before taking it.",
    "It was delivered on a weekday in the afternoon.",
    "I ordered it for my sister and opened it for her.",
    "The parcel stood at the door when I came home.",
    "I bought it after comparing several others.",
    "It was in a carton with paper around it.",
    "The photo was taken in my kitchen by daylight.",
    "I chose the standard delivery.",
    "My rating follows from what you can see there.",
    "Ordered on a Monday, it was here within the week.",
)
NEUTRAL_CLOSINGS: tuple[str, ...] = (
    "That is all I have to say about it.",
    "Make of that what you will.",
    "My stars are for what the photo shows.",
    "The rest is in the picture.",
    "Just so that others know what to expect.",
    "No further words needed.",
)
NEUTRAL_SUMMARIES: tuple[str, ...] = (
    "See photo",
    "As it arrived",
    "Picture inside",
    "Came like this",
    "My photo",
)

FOREIGN_REVIEWS: tuple[str, ...] = (
    "Das Produkt kam sehr schnell an und ist wirklich gut verarbeitet, ich würde es jederzeit wieder kaufen.",
    "El producto llegó muy rápido y está muy bien hecho, lo compraría otra vez sin dudarlo ni un momento.",
    "Le produit est arrivé très vite et il est vraiment bien fini, je le rachèterais sans hésiter.",
    "Il prodotto è arrivato molto presto ed è fatto davvero bene, lo comprerei di nuovo senza pensarci.",
)

# By topic: (questions about a series, snippets that answer them). A snippet answers only its own topic.
TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "weight": (
        (
            "How much does the {series} weigh?",
            "What is the weight of the {series}?",
            "Is the {series} heavy?",
        ),
        (
            "On my scale it weighs a little under two pounds.",
            "It is light, about 400 grams by my measure.",
            "It weighs three pounds, heavier than it looks.",
        ),
    ),
    "warranty": (
        (
            "Is there a warranty on the {series}?",
            "How long is the warranty of the {series}?",
            "Does the {series} come with a guarantee?",
        ),
        (
            "The card inside promises a two year warranty.",
            "There is a one year guarantee by the maker.",
            "The seller told me that the warranty ends after six months.",
        ),
    ),
    "made": (
        (
            "Where is the {series} made?",
            "In which country is the {series} manufactured?",
            "Is the {series} made in the USA?",
        ),
        (
            "The label underneath says made in Portugal.",
            "Mine was manufactured in Ohio, it says so on the box.",
            "It is made in Vietnam according to the sticker.",
        ),
    ),
    "washing": (
        ("How do I clean the {series}?", "Can the {series} be washed?", "Is the {series} easy to clean?"),
        (
            "I wash it by hand with mild soap and it is clean in a minute.",
            "A damp cloth is all it takes to clean it.",
            "The leaflet says not to wash it by machine, wiping only.",
        ),
    ),
    "assembly": (
        (
            "Does the {series} need assembly?",
            "Do I have to put the {series} together?",
            "Does the {series} come in one piece?",
        ),
        (
            "No assembly at all, it comes in one piece.",
            "I had to put two parts together, no tools needed.",
            "Putting it together took me ten minutes.",
        ),
    ),
    "gift": (
        (
            "Can the {series} be gift wrapped?",
            "Does the {series} come in a gift box?",
            "Is the box of the {series} suitable as a present?",
        ),
        (
            "It comes in a handsome gift box with a lid.",
            "There is no gift box, only a thin bag around it.",
            "I had it gift wrapped by the seller for two dollars.",
        ),
    ),
    "smell": (
        (
            "Does the {series} smell?",
            "Does the {series} have a chemical odor?",
            "Has anybody noticed a strange smell of the {series}?",
        ),
        (
            "There was a faint odor that was gone after a day.",
            "No smell whatsoever, not even when new.",
            "It smelled of glue at first, then aired out.",
        ),
    ),
    "outdoors": (
        (
            "Can I leave the {series} outside?",
            "Is the {series} weatherproof?",
            "Does rain damage the {series}?",
        ),
        (
            "Mine stood outside in the rain all winter without harm.",
            "I would not leave it outdoors, the rain gets in.",
            "It is weatherproof as far as I can tell after one season.",
        ),
    ),
    "children": (
        (
            "Is the {series} safe for small children?",
            "From what age can kids use the {series}?",
            "Is the {series} suitable for a toddler?",
        ),
        (
            "My toddler uses it and there are no sharp edges.",
            "The box says for ages six and up.",
            "Safe for kids in my opinion, nothing small comes off.",
        ),
    ),
    "returns": (
        (
            "Can I send the {series} back?",
            "How do returns of the {series} work?",
            "Is the return of the {series} free of charge?",
        ),
        (
            "I sent one back within thirty days and paid nothing.",
            "Returns are possible, but you pay the postage.",
            "The seller took mine back without asking why.",
        ),
    ),
    "storage": (
        (
            "Does the {series} fold flat for storage?",
            "How much room does the {series} need in a drawer?",
            "Can several of the {series} be stacked?",
        ),
        (
            "Several of them stack without trouble in my cupboard.",
            "It does not fold, so plan some room for storage.",
            "It fits a common drawer with room to spare.",
        ),
    ),
    "quantity": (
        (
            "How many {series} are in one package?",
            "Is the {series} a set or a single item?",
            "Do I get more than one {series}?",
        ),
        (
            "You get exactly one in the package.",
            "There were two in my package, as a set.",
            "The set has as many as the listing says, I counted them.",
        ),
    ),
    "battery": (
        (
            "Does the {series} need batteries?",
            "Does any part of the {series} use electricity?",
            "Are batteries included with the {series}?",
        ),
        (
            "There are no batteries and nothing electric in it.",
            "It needs no power at all.",
            "Nothing to charge, it works without batteries.",
        ),
    ),
    "personal": (
        (
            "Can a name be engraved on the {series}?",
            "Is it possible to personalize the {series}?",
            "Can I have initials put on the {series}?",
        ),
        (
            "I had initials engraved by a shop in town, that went well.",
            "The seller engraves a name for a small fee.",
            "You cannot personalize it, I asked them.",
        ),
    ),
}
SNIPPET_ENDS: tuple[str, ...] = (
    "",
    "Hope this helps.",
    "Otherwise I have nothing to add.",
    "That is my experience at least.",
    "Your case may differ.",
)

DESCRIPTIONS: tuple[str, ...] = (
    "{a} {noun} of {material} for every day, made by {brand}.",
    "{brand} makes this {noun} of {material} with care for detail.",
    "This {noun} belongs to the {series} collection and is made of {material}.",
    "From the {series} collection: {a} {noun} of {material} that lasts.",
)
