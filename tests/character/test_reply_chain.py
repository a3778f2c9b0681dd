"""What a model writes, through the daemon's own path: parser, cleaner, guardrails, captions, voice, memory."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mythicd.config.settings import TurnSettings
from mythicd.config.world_files import PersonaCard
from mythicd.dialogue.cleaning.cleaner import ReplyCleaner, clean
from mythicd.dialogue.guardrails import Guardrails
from mythicd.engines.llm import InlineCall, TextDelta
from mythicd.llm.reply_parser import ReplyParser
from mythicd.llm.tool_schema import read_tool
from mythicd.tts.phrase_buffer import PhraseBuffer
from mythicd.tts.speakable_text import spoken
from mythicd.wire import messages as m
from tests.screenplay import Screenplay
from tests.virtual_time import run

ROWS = yaml.safe_load(Path(__file__).with_name("reply_table.yaml").read_text(encoding="utf-8"))


def words(text: str) -> str:
    """Return text with single spaces."""
    return " ".join(text.split())


def parsed(play: Screenplay, text: str, cut: int) -> list[str | InlineCall]:
    """Return what the reply parser makes of a text that comes in pieces of `cut` bytes."""
    tools = [read_tool(tool.spec()) for tool in play.place.tools.values()]
    parser, data = ReplyParser(tools), text.encode()
    parts = [part for at in range(0, len(data), cut) for part in parser.add(data[at : at + cut])]
    made: list[str | InlineCall] = []
    for part in (*parts, *parser.finish()):
        joins = int(bool(made) and isinstance(made[-1], str))
        if isinstance(part, TextDelta):
            made[len(made) - joins :] = ["".join((*made[len(made) - joins :], part.text))]  # type: ignore[arg-type]
        elif isinstance(part, InlineCall):
            made.append(part)
    return made


@pytest.mark.parametrize("row", ROWS, ids=[row["says"][:40] for row in ROWS])
def test_reply_is_shown_spoken_and_remembered(row: dict[str, Any]) -> None:
    async def play(cut: int) -> None:
        async with Screenplay("marla", turn=TurnSettings(murmurs=False)) as p:
            p.llm.scripts = [list(parsed(p, row["says"], cut))]
            p.type("Well?")
            done = await p.done()
            await asyncio.sleep(0.1)  # it is written off the turn's path
            shown = words("".join(delta.delta for delta in p.player.all(m.LLMStreamDelta)))
            said = words(" ".join(text for _, text in p.tts.begun))
            kept = [each.text for each in p.store.utterances if each.speaker.kind == "npc"]
            if row.get("filler"):
                assert shown in ("Mm-hm.", "Mm.", "I see.")
            else:
                assert shown == row["shows"]
                assert said == row.get("speaks", spoken(row["shows"]).text)
            assert words(done.reply) == shown
            assert [words(text) for text in kept] == [shown]
            assert [call.name for call in p.player.all(m.ToolCall)] == row.get("calls", [])

    for cut in (1, 7, 10_000):
        run(play(cut))


@pytest.mark.parametrize("row", ROWS, ids=[row["says"][:40] for row in ROWS])
def test_pieces_make_no_difference(row: dict[str, Any]) -> None:
    people, tools = ("Old Tobin", "Tobin"), ("show", "ask")
    whole = clean(row["says"], "Marla", people, tools)
    for cut in (1, 2, 5, 13):
        cleaner = ReplyCleaner("Marla", people, tools)
        text = row["says"]
        parts = [part for at in range(0, len(text), cut) for part in cleaner.add(text[at : at + cut])]
        made = "".join(part if isinstance(part, str) else " " for part in (*parts, *cleaner.finish()))
        assert re.sub(r"\s+", "", made) == re.sub(r"\s+", "", whole)


PIECES = (
    "<think> </think> <thinking> </Thinking> <|channel|>analysis<|message|> <|end|> <|im_end|> <|im_start|>user\n "
    '<tool_call> </tool_call> ```json\n ``` * ** _ __ [laughs] [ ] ( ) { } " “ ” \n \n\n Marla: Tobin: Traveller: '
    "**Marla:** User: *nods* *smiles <sigh> <color=red> </color> <b> ---\n ## # set_waypoint "
    'set_waypoint(place="market") [TOOL_CALLS] 🙂 <3 :) a < b < > | ` ~ {{user}} <reasoning </ <| [Press - '
    '"item":"ale" '
    "\\ ^ … — -- &amp; <function=show> <|tool|> [/INST] </s> ◁think▷ <custom-tag_9 x=1> <0x0A>"
).split(" ")
WORDS = (
    *("Welcome in, friend.", "What can I get you?", "the harbor", "shouldn't", "she says", "Marla sighs"),
    *("It costs 3 gold.", "I", "He left."),
)
SYNTAX = re.compile(
    r"[<>{}\[\]|`*\\^_@=]|im_end|im_start|tool.call|TOOL.CALLS|channel|analysis|thinking|reasoning|arguments|set_|"
    r"custom.tag|function|INST|##",
    re.IGNORECASE,
)


def reply(seed: int) -> str:
    """Return a made-up reply of tags, stars, braces, labels, quotes and words, perhaps cut anywhere."""
    rng = random.Random(seed)
    text = " ".join(rng.choice(PIECES if rng.random() < 0.6 else WORDS) for _ in range(rng.randint(1, 14)))
    text = text.replace(" ", "") if rng.random() < 0.2 else text
    return text[: rng.randint(1, len(text))] if rng.random() < 0.4 else text


def test_ten_thousand_replies_hold_no_machine_syntax() -> None:
    card = PersonaCard(name="Marla the Barkeep")
    for seed in range(10_000):
        text = reply(seed)
        cleaner = ReplyCleaner(card.name, ("Old Tobin",), ("set_waypoint", "show"))
        guard, buffer = Guardrails(card, seed), PhraseBuffer()
        lines = []
        for at in range(0, len(text), 5):
            for part in cleaner.add(text[at : at + 5]):
                if isinstance(part, str):
                    lines += [line for phrase in buffer.add(part, at / 50) for line in guard.add(phrase.text)]
        for part in cleaner.finish():
            if isinstance(part, str):
                lines += [line for phrase in buffer.add(part, 9.0) for line in guard.add(phrase.text)]
        lines += [line for phrase in buffer.finish() for line in guard.add(phrase.text)]
        lines += guard.finish(gestured=cleaner.gestured)
        for line in lines:
            assert SYNTAX.search(spoken(line.text).text) is None, (text, line)
