"""The chunker: lore entries to pieces that fit a prompt, each a line as the prompt shows it.

A piece is as many whole sentences as fit into `chunk_tokens`; the last sentences of a piece, up to `overlap_tokens`,
begin the next, so that a fact told in two sentences is whole in one piece. Most entries are one sentence and one piece.
Every piece has the entry's title: alone, "It opens at sunset" says nothing. Lengths are estimated, since a world is cut
once but read by whichever model is loaded; packing counts exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mythicd.text.english.sentences import sentences


def estimated_tokens(text: str) -> int:
    """Estimate the tokens of a text: four to three words, the usual ratio of byte-pair vocabularies in English prose.

    (OpenAI's tokenizer guide gives 100 tokens for about 75 words.) A long stretch without spaces counts by its length.
    """
    return sum(max(1, round(len(word) / 6)) for word in text.split()) * 4 // 3 + (1 if text.strip() else 0)


CHUNKING = 2
"""Version of the cutting; a new one replaces all stored lines."""


def chunks(
    text: str,
    title: str = "",
    *,
    chunk_tokens: int,
    overlap_tokens: int,
    count: Callable[[str], int] = estimated_tokens,
) -> list[str]:
    """Cut an entry into lines of at most `chunk_tokens` each: "title: text" if the text does not name its title.

    A single sentence longer than that is cut between words. `overlap_tokens` of half a chunk or more is treated as
    half a chunk: otherwise nearly every sentence would be stored many times.
    """
    prefix = f"{title.strip()}: " if title.strip() else ""
    room = max(8, chunk_tokens - count(prefix))
    overlap = min(overlap_tokens, room // 2)
    lines: list[str] = []
    held: list[str] = []  # the sentences of the piece being filled
    fresh = False  # whether it holds more than the overlap
    for sentence in (part for whole in sentences(text) for part in _fitting(whole, room, count)):
        if fresh and count(" ".join((*held, sentence))) > room:
            lines.append(_titled(title, " ".join(held)))
            held = _tail(held, overlap, count)
            if count(" ".join((*held, sentence))) > room:
                held = []
        held.append(sentence)
        fresh = True
    if held:
        lines.append(_titled(title, " ".join(held)))
    return lines


def _titled(title: str, piece: str) -> str:
    """Put the title before a piece, unless the piece names it."""
    named = set(re.findall(r"\w+", piece.lower()))
    if all(word in named for word in re.findall(r"\w+", title.lower())):
        return piece
    return f"{title.strip()}: {piece}"


def _fitting(sentence: str, room: int, count: Callable[[str], int]) -> Iterator[str]:
    """Yield the sentence, or its pieces of at most `room` tokens, cut between words."""
    if count(sentence) <= room:
        yield sentence
        return
    held: list[str] = []
    for word in sentence.split():
        if held and count(" ".join((*held, word))) > room:
            yield " ".join(held)
            held = []
        held.append(word)
    yield " ".join(held)


def _tail(held: list[str], overlap: int, count: Callable[[str], int]) -> list[str]:
    """Return the last whole sentences that fit into the overlap."""
    tail: list[str] = []
    for sentence in reversed(held):
        if count(" ".join((sentence, *tail))) > overlap:
            break
        tail.insert(0, sentence)
    return tail
