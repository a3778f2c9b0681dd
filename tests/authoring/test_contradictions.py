"""Contradicting lore: sentences that agree but for a number, a time or a price; and those that must not be reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from mythicd.authoring.contradictions import contradictions
from mythicd.config.world_files import LoreEntry, PlacedLore, load_world

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"


def found(*entries: tuple[str, str]) -> list[tuple[int, int]]:
    """Return the pairs of (title, text) that contradict each other."""
    lore = [
        PlacedLore(zone="", entry=LoreEntry(id=f"e{at}", title=title, text=text))
        for at, (title, text) in enumerate(entries)
    ]
    return [(one, other) for one, other, *_ in contradictions(lore)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("", "The tavern closes at midnight."), ("", "The tavern closes at two.")),
        (
            ("", "The tavern is open from noon until two in the morning."),
            ("", "The tavern is open from noon until ten."),
        ),
        (("ale", "A mug of ale costs two copper coins."), ("ale", "Ale costs three copper a mug.")),
        (("ale", "A mug of ale costs 2 copper."), ("Ale", "A mug of ale costs 2.50 copper.")),
        (("", "Ninety steps lead up the tower."), ("", "One hundred steps lead up the tower.")),
        (("", "The ferry leaves at 9:30."), ("", "The ferry leaves at 10:00 each morning.")),
        (("", "The war ended two hundred and five years ago."), ("", "The war ended 204 years ago.")),
        (("", "Old Finn lives on the second floor."), ("", "Old Finn lives on the third floor.")),
        (("", "It rains. The pier is forty feet long."), ("", "The pier is fifty feet long. It is old.")),
    ],
)
def test_contradiction(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert found(one, ("", "Nothing else matters at nine."), other) == [(0, 2)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("", "The tavern opens at noon."), ("", "The tavern closes at midnight.")),
        (("", "A mug of ale costs two coppers."), ("", "A bowl of stew costs three coppers.")),
        (("", "An iron sword costs twelve silver."), ("", "A round shield costs eight silver.")),
        (("", "The steps are 90."), ("", "The steps are ninety.")),
        (("", "The war ended two hundred years ago."), ("", "The war ended 200 years ago.")),
        (("the inn", "The inn has four rooms."), ("the inn", "The inn opens at six.")),
        (("", "Marla owns the tavern."), ("", "Hester owns the tavern.")),
        (("", "Two guards stand at the north gate."), ("", "Three guards stand at the south gate.")),
        (("", "Room two is free."), ("", "Room two is free and warm, says Nell of the third floor inn.")),
        (("", "Nine."), ("", "Ten.")),
    ],
)
def test_no_contradiction(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert found(one, other) == []


def test_sample_world_has_none() -> None:
    assert list(contradictions(load_world(LANTERNPORT).lore)) == []


def test_many_entries_take_no_time() -> None:
    houses = [(f"house {at}", f"House number {at} in the street belongs to the guild.") for at in range(1500)]
    assert found(*houses) == [], "the numbers are names"
    guilds = [("", f"The guild of letter {chr(97 + at % 26)}{at // 26} pays {at} coins.") for at in range(1500)]
    assert len(found(*guilds, *[("", text.replace("pays", "pays 7 or")) for _, text in guilds])) <= 200
