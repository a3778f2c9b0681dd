"""Training sequences: one system message, and after it blocks of surroundings with several questions each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from training.chat import GENERATION_PROMPT, TURN_END, Message, native_reply, render
from training.corpus.ask_lore import twin
from training.corpus.block import Block, make_block
from training.corpus.cast import Cast, make_cast
from training.corpus.strangewords import replacement
from training.corpus.turn import Turn
from training.corpus.turns import make_turn

_HEADING = "## Player\n"
_STRANGE = 0.5
"""Share of blocks with words from outside the generator's lists."""


@dataclass(frozen=True, slots=True)
class Question:
    """One continuation of a block: the player's words, and the target reply."""

    prompt: str
    """Return the words, the end of the message, and the header after which the model writes."""
    reply: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class Episode:
    """The text of surroundings up to the player's words, and several questions."""

    front: str
    questions: tuple[Question, ...]


def user_front(block: Block, rng: Random) -> str:
    """Return the current turn's user message without the words, as the daemon's prompt module writes it."""
    parts: list[str] = []
    if block.lore:
        parts.append("## Lore")
        parts += [f"- {'. '.join(line.sentences)}{'.' if rng.random() < 0.75 else ''}" for line in block.lore]
    if block.memory:
        parts.append("## Recent Memory")
        parts += [f"- {m.line}{'.' if not m.quoted and rng.random() < 0.5 else ''}" for m in block.memory]
    if block.scene is not None:
        parts += ["## Scene", json.dumps(block.scene.as_json())]
    return "\n".join([*parts, _HEADING])


_TWINS = 0.45
"""Share of blocks after which an answered question is repeated without the line that answers it."""


def episodes(cast: Cast, rng: Random) -> Iterator[Episode]:
    """Yield a new block with its questions, and in some cases its twin, without the line that answered one of them."""
    block = make_block(cast, rng)
    turns = [make_turn(cast, block, rng) for _ in range(rng.choice((2, 3, 3, 4, 4, 5)))]
    yield _episode(cast, block, turns, rng)
    answered = [turn for turn in turns if turn.about is not None]
    if answered and rng.random() < _TWINS:
        made = twin(cast, block, rng.choice(answered), rng)
        if made is not None:
            block, unanswered = made
            yield _episode(cast, block, [unanswered, *(make_turn(cast, block, rng) for _ in range(2))], rng)


def _episode(cast: Cast, block: Block, turns: list[Turn], rng: Random) -> Episode:
    front = user_front(block, rng)
    past = "".join(
        render(Message("user", said)) + render(Message("assistant", answered)) for said, answered in block.history
    )
    if rng.random() < _STRANGE:
        texts = [text for line in block.lore for text in line.sentences]
        texts += [turn.gold for turn in turns if turn.sort == "tool"]
        strange = replacement(texts, cast.system, rng)
        front, past = strange(front), strange(past)
        turns = [
            replace(turn, words=strange(turn.words), reply=strange(turn.reply), gold=strange(turn.gold))
            for turn in turns
        ]
    empty = render(Message("user", front))
    shared = len(empty) - len(f" \n{TURN_END}\n")
    questions = []
    for turn in turns:
        whole = render(Message("user", front + turn.words))
        prompt = whole[shared:] + GENERATION_PROMPT
        questions.append(Question(prompt, native_reply(turn.reply).lstrip() + TURN_END, turn))
    return Episode(past + empty[:shared], tuple(questions))


def conversation(rng: Random) -> tuple[str, Iterator[Episode]]:
    """Return a system message as text, and endless episodes after it."""
    cast = make_cast(rng)

    def endless() -> Iterator[Episode]:
        while True:
            yield from episodes(cast, rng)

    return render(Message("system", cast.system)), endless()
