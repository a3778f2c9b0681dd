"""The progress of a prepared turn, in lines of its message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asking import MARLA, Start, ask, settle, user

from mythicd.engines.llm import Prompt, Reading
from mythicd.llm.llamacpp.prompt_tokens import line_ends
from mythicd.llm.llamacpp.scheduler import Limits


@pytest.mark.engine
async def test_how_far_a_turn_was_read_ahead_is_told(start: Start) -> None:
    """By lines, since a line is what a later prompt keeps or drops."""
    engine = await start(n_ctx=2048, limits=Limits(chunk=4, chunk_least=4))
    lore = [f"- Line {number} of the lore." for number in range(6)]

    def turn(*lines: str) -> Prompt:
        return replace(ask(MARLA, "hello"), turn=(user("\n".join(["## Lore", *lines, "## Player", "where is"])),))

    async def told(prompt: Prompt) -> list[int]:
        seen: list[int] = []

        class Watched(Reading):
            def __setattr__(self, name: str, value: int | None) -> None:
                super().__setattr__(name, value)
                if value is not None:
                    seen.append(value)

        await engine.prepare("marla", prompt, Watched())
        return seen

    first = await told(turn(*lore))
    assert first[0] == 0 and first == sorted(first) and len(set(first)) > 3
    assert first[-1] == len(lore) + 2, "all but the one that is open"
    assert await told(turn(*lore)) == [first[-1]], "all of it was there"
    assert (await told(turn(*lore[:4], "- Other.")))[0] == 5, "the heading, and the lines that are the same"
    assert (await told(turn("- Other.", *lore)))[0] == 1
    await settle(engine)


@pytest.mark.parametrize(
    ("pieces", "lines", "start", "ends"),
    [
        (["<user>\n", "a", "\n", "b", "\n", "wh"], 2, 0, (3, 5)),
        (["<user>\n", "a\n", "b\n", "wh", "en"], 2, 0, (2, 3)),
        (["<user>\n", "a", "\n\n", "wh"], 2, 0, (3, 3)),
        (["<user>\n", "a\n", "b", "\n"], 1, 0, (2,)),  # nothing was said yet, and the template leaves that as it is
        (["<user>\n", "a\n", "b"], 1, 0, (2,)),  # or trims it
        (["a\n", "b\n", "c"], 5, 1, (2,)),
        (["wh"], 0, 0, ()),
        ([], 2, 0, ()),
    ],
)
def test_where_lines_end(pieces: list[str], lines: int, start: int, ends: tuple[int, ...]) -> None:
    assert line_ends(range(len(pieces)), lines, start, lambda token: pieces[token].encode()) == ends
