"""Sentences of circumstance in the sample shop's reviews and snippets: who, where, when and what for.

They say nothing of the product and are drawn by a hash of their own, so that no rating, look or category can be read
from them. Their many slots make the texts of a shop differ: without them two reviews in six would be equal.
"""

from __future__ import annotations

RELATIONS: tuple[str, ...] = (
    "sister", "brother", "mother", "father", "aunt", "uncle", "cousin", "niece", "nephew", "grandmother", "grandfather",
    "daughter", "son", "wife", "husband", "neighbor", "roommate", "landlady", "colleague", "boss", "teacher", "coach",
    "godmother", "stepson", "dentist", "hairdresser", "accountant", "gardener", "lodger", "old friend", "choir leader",
    "swimming partner", "physiotherapist", "driving instructor", "former flatmate", "chess opponent", "ski companion",
    "carpenter", "midwife", "bandmate",
)  # fmt: skip
TOWNS: tuple[str, ...] = (
    "Leeds", "Porto", "Tampa", "Boise", "Bergen", "Ghent", "Lyon", "Graz", "Turin", "Cork", "Perth", "Oslo", "Tulsa",
    "Reno", "Fargo", "Dover", "Utrecht", "Bruges", "Seville", "Malmo", "Aarhus", "Tampere", "Gdansk", "Brno", "Kyoto",
    "Osaka", "Busan", "Cairns", "Hobart", "Dunedin", "Halifax", "Regina", "Calgary", "Quito", "Cusco", "Salta",
    "Recife", "Accra", "Nairobi", "Durban", "Izmir", "Haifa", "Pune", "Kochi", "Penang", "Cebu", "York", "Derby",
    "Truro", "Inverness", "Swansea", "Galway", "Limerick", "Bern", "Basel", "Linz", "Lucca", "Parma", "Toledo",
    "Zadar", "Tartu", "Riga", "Vilnius", "Uppsala",
)  # fmt: skip
PLACES: tuple[str, ...] = (
    "a street market", "the farmers market", "a school fair", "the public library", "a campsite", "the ferry terminal",
    "a mountain hut", "the town hall", "a dance studio", "the county fair", "a youth hostel", "the skating rink",
    "a tea room", "the courthouse", "a boat yard", "the community center", "a dahlia show", "the harbor office",
    "a pottery class", "the airport lounge", "a vineyard", "the climbing gym", "a night school", "the observatory",
    "a repair cafe", "the bowling alley", "a fishing lodge", "the art museum", "a bakery", "the sailing club",
    "a village hall", "the fire station",
)  # fmt: skip
EVENTS: tuple[str, ...] = (
    "a wedding", "a housewarming", "a school play", "a retirement party", "a christening", "a class reunion",
    "a charity run", "a chess tournament", "a family dinner", "a farewell evening", "a street parade",
    "a job interview",
    "a quiz night", "a rowing regatta", "a choir rehearsal", "a birthday breakfast", "a silver jubilee", "a barn dance",
    "a film evening", "a sponsored walk", "a flea market", "a baking contest", "a theater premiere", "a long hike",
    "a graduation", "an open house", "an engagement party", "an evening course", "an exhibition", "an auction",
    "an anniversary", "an exchange visit",
)  # fmt: skip
HOLIDAYS: tuple[str, ...] = (
    "Easter", "Thanksgiving", "Christmas", "New Year", "Halloween", "Labor Day", "Carnival", "Midsummer", "Diwali",
    "Hanukkah", "Eid", "Mardi Gras", "Memorial Day", "the summer holidays", "the autumn break", "the long weekend",
)  # fmt: skip
JOBS: tuple[str, ...] = (
    "drove a tram", "taught chemistry", "ran a bakery", "studied law", "worked on a ferry", "sold insurance",
    "trained as a nurse", "edited a newspaper", "repaired pianos", "kept bees", "delivered mail", "tuned engines",
    "translated novels", "cooked for a canteen", "guided tourists", "wrote software", "surveyed roads",
    "restored furniture", "conducted an orchestra", "coached swimmers", "grew tomatoes", "read meters",
    "managed a hostel", "painted theater sets", "counted birds", "answered calls", "baked pretzels", "built fences",
    "mapped caves", "judged horses", "taught Latin", "sang in a choir",
)  # fmt: skip
MONTHS: tuple[str, ...] = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS: tuple[str, ...] = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip
COUNTS: tuple[str, ...] = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "fourteen", "twenty",
)  # fmt: skip
SLOTS: dict[str, tuple[str, ...]] = {
    "relation": RELATIONS,
    "town": TOWNS,
    "place": PLACES,
    "event": EVENTS,
    "holiday": HOLIDAYS,
    "job": JOBS,
    "month": MONTHS,
    "weekday": WEEKDAYS,
    "count": COUNTS,
}
FORMS: tuple[str, ...] = (
    "I ordered it one {weekday} in {month} for {event} with my {relation} in {town}.",
    "My {relation} from {town} had seen one at {place} and spoke of it until {holiday}.",
    "It has been here for {count} weeks, with one trip to {place} in {town} after {event}.",
    "We wanted it for {event} in {town}, {count} days before {holiday}, when my {relation} visits.",
    "It replaces one from {town} that I had for {count} years, when I {job} with my {relation}.",
    "On {weekday} my {relation} took it along to {place} near {town} because of {event}.",
    "I {job} in {town}, so it goes with me to {place} some {count} times in {month}.",
    "Between {month} and {holiday} my {relation} used it {count} times, once at {place} in {town}.",
    "Found through my {relation}, who {job} in {town} and keeps one at {place} since {month}.",
    "After {event} at {place} my {relation} and I agreed that {town} needs {count} more of these by {holiday}.",
)


def aside(draw: int) -> str:
    """Return a sentence of circumstance.

    Args:
        draw: A hash draw of 64 bits, used for the form and all its slots.
    """
    draw, number = divmod(draw, len(FORMS))
    values = {}
    for name, choices in SLOTS.items():
        draw, index = divmod(draw, len(choices))
        values[name] = choices[index]
    return FORMS[number].format(**values)
