"""The kinds of personal data that text hygiene masks."""

from __future__ import annotations

from typing import Literal, get_args

PersonalDataKind = Literal[
    "email",
    "url",
    "ip_address",
    "iban",
    "order",
    "card",
    "social_security",
    "phone",
    "address",
    "name",
    "handle",
]


# In the order of the search.
PERSONAL_DATA_KINDS: tuple[PersonalDataKind, ...] = get_args(PersonalDataKind)
