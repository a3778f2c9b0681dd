"""What is read ahead first, word by word: lines that the last words call for, behind those that were read before."""

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
from tests.virtual_time import run

OFFICE, HALE, FINN = "The harbor office opens at eight.", "Captain Hale is in the harbor.", "Old Finn mends nets."
FISH, GATE = "Fishers sell their fish at dawn.", "The north gate is shut at night."
CALLED = {"harbor": (OFFICE, HALE, FINN), "sell": (OFFICE, FISH), "office": (OFFICE,), "tower": (GATE,)}
"""What the last word that is in here calls for."""


def lines_of(prompt: Prompt) -> list[str]:
    """Return the lines that were found for a turn."""
    return [line[2:] for line in prompt.turn[-1].content.splitlines() if line.startswith("- ")]


class Memory(ContextBuilder):
    """Finds what CALLED says."""

    def __init__(self) -> None: ...

    async def embed(self, words: str) -> None: ...

    async def search(self, words: str, turn_id: str, *, errors: list[MythicError] | None = None) -> TurnContext:
        calls = [CALLED[word] for word in words.split() if word in CALLED]
        return TurnContext(prompts.Sections(calls[-1] if calls else ()), {})


async def looked(*heard: tuple[float, str]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Say these words at these times to a model that reads 20 words a second; return what the prompt of the same words
    as are last holds in the end, and what was asked for on the way."""
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
def test_of_what_no_word_calls_for_any_more_only_what_was_read_stays(
    heard: tuple[tuple[float, str], ...], final: tuple[str, ...]
) -> None:
    async def play() -> None:
        assert (await looked(*heard))[0] == final

    run(play())


def test_too_many_changes_add_no_more_but_still_take_away() -> None:
    async def play() -> None:
        flickers = [(0.02 * turn, f"office {('sell', 'so')[turn % 2]}") for turn in range(40)]
        _, asked = await looked((0.0, "office"), *flickers)
        assert sum(FISH in lines for lines in asked) <= MOST_CHANGES + 1
        assert asked[-1] == [OFFICE]

    run(play())


def test_what_words_that_stood_call_for_is_read_before_what_others_do() -> None:
    async def play() -> None:
        final, asked = await looked((0.0, "the harbor"), (0.3, "the harbor sell"), (0.36, "the harbor"))
        assert asked == [[OFFICE, HALE, FINN], [OFFICE, HALE, FINN, FISH], [OFFICE, HALE, FINN]]
        assert final == (OFFICE, HALE, FINN)
        final, asked = await looked((0.0, "the harbor"), (0.1, "the harbor sell"), (0.16, "the harbor"))
        assert asked[1] == [OFFICE, FISH], "they had stood for a tenth of a second only"
        assert final == (OFFICE, HALE, FINN)

    run(play())


def test_words_that_take_others_back_are_not_believed_before_they_have_stood() -> None:
    async def play() -> None:
        first, harbor, both = (0.0, "the harbor"), [OFFICE, HALE, FINN], [OFFICE, HALE, FINN, GATE]
        final, asked = await looked(first, (0.3, "the tower"), (0.5, "the harbor so"))
        assert asked == [harbor] and final == (OFFICE, HALE, FINN)
        _, asked = await looked(first, (0.3, "the tower"), (0.5, "this tower"), (0.71, "his tower"))
        assert asked[1] == both, "they have stood"
        _, asked = await looked(first, (0.3, "the tower"), (1.0, "the tower"))
        assert asked[1:] == [both], "nothing more was heard, and they stand"
        _, asked = await looked(first, (0.3, "The harbor tower"))
        assert asked[1:] == [both], "nothing was taken back"
        _, asked = await looked(first, (0.1, "the tower"))
        assert asked[1:] == [[GATE]], "what they replace had not stood either"

    run(play())
