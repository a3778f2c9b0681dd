"""The prompts: exact lengths, the same for every side, of words that are one token each.

A character's prompt is the world's rules (shared by all), the persona (its own), a history of plain words, and the
turn: a block of lore of this turn alone, and the player's words. After the turn its words and the reply become history,
without the block. Replies are scripted: what a random model writes is read and discarded, so all sides have the same
conversation.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from bench.random_model import words
from mythicd.engines.llm import ChatMessage, Prompt

ENDS = 0.9
"""Share of a question before its end."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the parts of a prompt, in tokens, without the markers around them."""

    world: int = 500
    persona: int = 200
    exchanges: int = 4
    """Exchanges in the history of the first turn."""
    block: int = 64
    question: int = 20
    reply: int = 24


@dataclass(frozen=True, slots=True)
class Script:
    """All texts of one run, for a model with this vocabulary."""

    vocabulary: int
    lengths: Lengths = Lengths()

    def text(self, label: str, length: int) -> str:
        """Return `count` words, always the same ones for the same label."""
        choice = np.random.default_rng(crc32(label.encode())).integers(0, len(words(self.vocabulary)), length)
        return " ".join(words(self.vocabulary)[number] for number in choice)

    def world(self) -> str:
        """Return the rules that all characters share."""
        return self.text("world", self.lengths.world)

    def front(self, npc: str, turn: int) -> Prompt:
        """Return the prompt before a character's turn number `turn`, counted from 0."""
        history: list[ChatMessage] = []
        for past in range(self.lengths.exchanges + turn):
            history.append(ChatMessage("user", self._question(npc, past)))
            history.append(ChatMessage("assistant", self.text(f"{npc} reply {past}", self.lengths.reply)))
        persona = "\n" + self.text(f"{npc} persona", self.lengths.persona - 1)
        return Prompt(self.world(), persona, tuple(history))

    def prompt(self, npc: str, turn: int, spoken: float = 1.0, ending: int = 0) -> Prompt:
        """Return the prompt of a turn of which this share of the question has been spoken so far.

        An `ending` other than 0 is another end of the question, of the same length: the words after `ENDS`.
        """
        front = self.front(npc, turn)
        asked = self._question(npc, self.lengths.exchanges + turn).split(" ")
        if ending:
            kept = round(ENDS * len(asked))
            asked[kept:] = self.text(f"{npc} question {turn} ending {ending}", len(asked) - kept).split(" ")
        heard = " ".join(asked[: round(spoken * len(asked))])
        block = self.text(f"{npc} lore {turn}", self.lengths.block)
        return Prompt(front.world, front.character, front.history, (ChatMessage("user", f"{block}\n{heard}"),))

    def stranger(self, name: str, length: int, world: str = "") -> Prompt:
        """Return a prompt with this many tokens of persona, after a world or alone."""
        return Prompt(world, self.text(name, length), (), (ChatMessage("user", self.text(f"{name} asked", 8)),))

    def _question(self, npc: str, number: int) -> str:
        return self.text(f"{npc} question {number}", self.lengths.question)


def chatml(prompt: Prompt, *, header: bool = True, open_end: bool = False) -> str:
    """Render a prompt as the model's template does.

    With `open_end` the last message is not closed: more words may follow. Without `header` there is no start of a
    reply.
    """
    messages = [ChatMessage("system", prompt.world + prompt.character), *prompt.history, *prompt.turn]
    text = "".join(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n" for message in messages)
    if open_end:
        return text.removesuffix("<|im_end|>\n")
    return f"{text}<|im_start|>assistant\n" if header else text
