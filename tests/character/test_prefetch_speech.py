"""Prefetch word by word: which lines are evaluated, and which stay, as partials change."""

from __future__ import annotations

import asyncio

import pytest

from mythicd.asr.transcript import Partial
from mythicd.character.think.context import ContextBuilder, TurnContext
from mythicd.character.think.model_session import ModelSession
from mythicd.character.think.prefetch import MOST_CHANGES, Prefetch
from mythicd.dialogue import prompt as prompts
from mythicd.dialogue.history import History
from mythicd.dialogue.state import State
from mythicd.engines.llm import Prompt
from mythicd.errors import MythicError
from tests.screenplay import Screenplay

OFFICE, HALE, FINN = "The harbor office opens at eight.", "Captain Hale is in the harbor.", "Old Finn mends nets."
FISH, GATE = "Fishers sell their fish at dawn.", "The north gate is shut at night."
CALLED = {"harbor": (OFFICE, HALE, FINN), "sell": (OFFICE, FISH), "office": (OFFICE,), "tower": (GATE,)}
"""Return the lines that the last known word calls for."""


def lines_of(prompt: Prompt) -> list[str]:
    """Return the lines that were found for a turn."""
    return [line[2:] for line in prompt.turn[-1].content.splitlines() if line.startswith("- ")]


class Memory(ContextBuilder):
    """A memory search that finds the lines of CALLED."""

    def __init__(self) -> None: ...

    async def embed(self, words: str) -> None: ...

    async def search(self, words: str, turn_id: str, *, errors: list[MythicError] | None = None) -> TurnContext:
        calls = [CALLED[word] for word in words.split() if word in CALLED]
        return TurnContext(prompts.Sections(calls[-1] if calls else ()), {})


async def prefetched(*heard: tuple[float, str]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Add partials at these times, with a model that evaluates 20 words a second. Return the lines of the final prompt,
    and those of each prefill."""
    play, memory = Screenplay("marla"), Memory()
    llm, context = play.llm, play.context("marla")
    session = ModelSession(context, History())
    llm.rate = 20.0
    await llm.attend(context.llm_id, session.turn_prompt("", prompts.Sections()))
    ahead = Prefetch(context, session, memory)
    ahead.on_state(State.LISTENING)
    ahead.open("t-1")
    begun = asyncio.get_running_loop().time()
    for at_s, words in heard:
        await asyncio.sleep(begun + at_s - asyncio.get_running_loop().time())
        ahead.add_partial(Partial(words, "", at_s))
    await asyncio.sleep(0.001)
    found = ahead.commit()
    assert found is not None
    await ahead.stop()
    await session.close()
    final = found.joined(await memory.search(heard[-1][1], "t-1"))
    return final.sections.lore, [lines_of(each) for each in llm.prepared]


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("heard", "final"),
    [
        # 0.45 s for the first line, 0.3 s for each of the others
        (((0.0, "the harbor"), (0.1, "the harbor office")), (OFFICE,)),
        (((0.0, "the harbor"), (0.9, "the harbor office")), (OFFICE, HALE)),
        (((0.0, "the harbor"), (2.0, "the harbor office")), (OFFICE, HALE, FINN)),
        (((0.0, "the tower"), (0.05, "the harbor")), (OFFICE, HALE, FINN)),
        (((0.0, "the tower"), (2.0, "the harbor")), (GATE, OFFICE, HALE, FINN)),
        (((0.0, "office"), (0.1, "office sell"), (0.16, "office so")), (OFFICE,)),
        (((0.0, "office"), (0.1, "office sell"), (2.0, "office so")), (OFFICE, FISH)),
    ],
)
async def test_lines_of_corrected_words_stay_only_if_evaluated(
    heard: tuple[tuple[float, str], ...], final: tuple[str, ...]
) -> None:
    assert (await prefetched(*heard))[0] == final


@pytest.mark.virtual
async def test_too_many_changes_only_remove_lines() -> None:
    flickers = [(0.02 * turn, f"office {('sell', 'so')[turn % 2]}") for turn in range(40)]
    _, asked = await prefetched((0.0, "office"), *flickers)
    assert sum(FISH in lines for lines in asked) <= MOST_CHANGES + 1
    assert asked[-1] == [OFFICE]


@pytest.mark.virtual
async def test_lines_of_settled_words_are_evaluated_first() -> None:
    final, asked = await prefetched((0.0, "the harbor"), (0.3, "the harbor sell"), (0.36, "the harbor"))
    assert asked == [[OFFICE, HALE, FINN], [OFFICE, HALE, FINN, FISH], [OFFICE, HALE, FINN]]
    assert final == (OFFICE, HALE, FINN)
    final, asked = await prefetched((0.0, "the harbor"), (0.1, "the harbor sell"), (0.16, "the harbor"))
    assert asked[1] == [OFFICE, FISH], "after a tenth of a second words are not settled"
    assert final == (OFFICE, HALE, FINN)


@pytest.mark.virtual
async def test_correcting_words_count_only_once_settled() -> None:
    first, harbor, both = (0.0, "the harbor"), [OFFICE, HALE, FINN], [OFFICE, HALE, FINN, GATE]
    final, asked = await prefetched(first, (0.3, "the tower"), (0.5, "the harbor so"))
    assert asked == [harbor] and final == (OFFICE, HALE, FINN)
    _, asked = await prefetched(first, (0.3, "the tower"), (0.5, "this tower"), (0.71, "his tower"))
    assert asked[1] == both, "the words are settled"
    _, asked = await prefetched(first, (0.3, "the tower"), (1.0, "the tower"))
    assert asked[1:] == [both], "without further partials the words are settled"
    _, asked = await prefetched(first, (0.3, "The harbor tower"))
    assert asked[1:] == [both], "no word was corrected"
    _, asked = await prefetched(first, (0.1, "the tower"))
    assert asked[1:] == [[GATE]], "the replaced words were not settled either"
