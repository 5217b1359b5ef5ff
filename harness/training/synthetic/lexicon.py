"""The words of the synthetic sentences and the wordings of their clauses.

`grammar.py` joins them into sentences. Every list was written for this package; none comes from a
corpus. The module holds only data: it draws nothing and does not define what a paraphrase is.

A *slot* is a place for one fact. A *concept* is one value that the slot can take, written as the
tuple of its interchangeable names.
"""

from typing import Final

__all__ = [
    "ASIDES",
    "CONCEPTS",
    "CORE_WORDINGS",
    "MANNERS",
    "NUMBER_SLOTS",
    "OPENINGS",
    "TOWN_PIECES",
    "TRAILERS",
]

# The tokenizer splits towns into two pieces. The first piece is unique; two towns share each second
# piece, so the second piece alone does not identify a town, as with real names.
TOWN_PIECES: Final[tuple[tuple[str, str], ...]] = (
    ("nor", "vale"),
    ("tam", "vale"),
    ("ost", "mere"),
    ("quil", "mere"),
    ("dra", "wick"),
    ("bel", "wick"),
    ("hul", "stead"),
    ("fen", "stead"),
    ("ulm", "haven"),
    ("cor", "haven"),
)

CONCEPTS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "actor": (
        ("airline", "carrier"),
        ("bank", "lender"),
        ("hospital", "clinic"),
        ("retailer", "merchant"),
        ("university", "college"),
        ("newspaper", "daily"),
        ("ministry", "department"),
        ("insurer", "underwriter"),
        ("brewery", "brewer"),
        ("museum", "gallery"),
    ),
    "verb": (
        ("bought", "purchased"),
        ("repaired", "mended"),
        ("inspected", "examined"),
        ("praised", "commended"),
        ("closed", "shuttered"),
        ("abandoned", "deserted"),
        ("rented", "leased"),
        ("expanded", "enlarged"),
        ("painted", "decorated"),
        ("guarded", "protected"),
    ),
    "object": (
        ("warehouse", "depot"),
        ("factory", "plant"),
        ("ferry", "boat"),
        ("bridge", "crossing"),
        ("theatre", "playhouse"),
        ("hotel", "inn"),
        ("stadium", "arena"),
        ("airfield", "aerodrome"),
        ("harbour", "port"),
        ("tunnel", "underpass"),
    ),
    "source": (
        ("analysts", "experts"),
        ("officials", "authorities"),
        ("police", "officers"),
        ("lawyers", "attorneys"),
        ("doctors", "physicians"),
        ("neighbours", "residents"),
        ("farmers", "growers"),
        ("teachers", "schoolmasters"),
    ),
    "reason": (
        ("storms", "gales"),
        ("debts", "arrears"),
        ("strikes", "walkouts"),
        ("leaks", "spills"),
        ("thefts", "burglaries"),
        ("delays", "holdups"),
        ("rumours", "gossip"),
        ("taxes", "levies"),
    ),
    "place": tuple(((first + second).capitalize(),) for first, second in TOWN_PIECES),
    "day": tuple(
        (day,)
        for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    ),
    "month": tuple(
        (month,)
        for month in ("January", "February", "April", "June", "August", "October", "December")
    ),
}

# Slots that hold a number of two digits instead of a concept.
NUMBER_SLOTS: Final[tuple[str, ...]] = ("amount", "jobs")

# The clause that every sentence has; {manner} is empty or one of MANNERS.
CORE_WORDINGS: Final[tuple[str, ...]] = (
    "the {actor} {manner} {verb} the {object}",
    "the {object} was {manner} {verb} by the {actor}",
)

# Clauses that may open a sentence, with the punctuation after them.
OPENINGS: Final[dict[str, tuple[str, ...]]] = {
    "day": ("on {day},",),
    "place": ("in {place},",),
    "reason": ("because of {reason},", "owing to {reason},"),
    "source": ("according to {source},", "{source} said that"),
}

# Clauses that may follow the core; a leading comma joins the word before it.
TRAILERS: Final[dict[str, tuple[str, ...]]] = {
    "day": ("on {day}",),
    "place": ("in {place}",),
    "reason": ("because of {reason}", "owing to {reason}"),
    "amount": ("at a cost of {amount} million crowns", "for some {amount} million crowns"),
    "jobs": (", a step that affects {jobs} workers", ", touching the jobs of {jobs} employees"),
    "month": (", with a final decision due in {month}", ", and a ruling is expected in {month}"),
    "source": (", {source} said", ", according to {source}"),
}

# Words that state no fact: a paraphrase may gain or lose them.
MANNERS: Final[tuple[str, ...]] = ("quietly", "finally", "reportedly", "also", "again")
ASIDES: Final[tuple[str, ...]] = (
    "after a long dispute",
    "to the surprise of many",
    "following weeks of talks",
    "despite earlier promises",
    "in front of a small crowd",
)
