"""The ranking of memories: from two lists of hits to a few lines that answer the question.

    BM25 20 + vectors 20  →  fused by rank  →  relevance, with a floor  →  × recency × importance  →  best 6

**Relevance** (0–1) does not depend on what else was found: coverage of the question's words (`coverage`), and with
vectors 0.9 · likeness + 0.1 · coverage. Lines under the floor, or far under the best, are dropped: a wrong line costs a
small model more than a missing one. **Score** = relevance · ¼ (2 + recency + importance) + nudges (`_scored`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mythicd.memory.query import Query

RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): rrf = Σ 1 / (60 + rank) over the lists
that hold the line, ranks from 1. It needs no common scale, so it orders hits; it is as high for the best of twenty
wrong lines as for the right one, so it cannot tell relevance."""

RECENCY_PER_HOUR = 0.995
"""Share of a memory's recency that is left after an hour (Park et al. 2023, "Generative Agents"). Lore does not age."""

FEWEST_LINES = 50
"""Smaller collections are weighed as if they had this many lines."""

UNRELATED_COSINE = 0.15
"""Cosine of all-MiniLM-L6-v2 at which likeness is 0; it is 1 at a cosine of 1. Among the lines of a small town the best
cosine for an off-topic question is 0.2 (median; up to 0.35), that of the right line 0.57 (median; nine in ten over
0.35)."""

LIKENESS_WEIGHT = 0.90
"""Share of likeness in relevance, with vectors; coverage has the rest. Weights, floors and UNRELATED_COSINE come from
a grid search on one half of tests/memory/questions.yaml, where they lie on a plateau; the other half tests them."""

FLOOR_WITH_VECTORS = 0.21
"""Least relevance of a line that is shown: a cosine of 0.35 if it shares no word with the question, of 0.25 if it has
all of them."""

FLOOR_WITHOUT_VECTORS = 0.45
"""The same without vectors: nearly half of the question's words, by weight, must be in the line."""

KEEP_WITHIN = 0.70
"""Lines that score less than this share of the best are dropped."""

RANK_NUDGE = 0.03
TAG_NUDGE = 0.02
"""Added to a score for being first in both lists, and for a tag in common with the scene: they break ties."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that was found, with its measures."""

    id: int
    line: str
    key: str
    """The lore id, or the turn id of a memory."""

    coverage: float
    """0–1 (`coverage`)."""

    bm25_rank: int | None = None
    """Rank in the list of word hits, from 1; None if it is not in it."""

    vector_rank: int | None = None
    cosine: float | None = None
    """Cosine with the question, −1 to 1; None without vectors."""

    tags: frozenset[str] = frozenset()
    """Words of the line's tags."""

    importance: float = 0.5
    """0–1."""

    age_hours: float | None = None
    """Hours since it happened; None for lore."""


@dataclass(frozen=True, slots=True)
class ScoredLine:
    """A line for the prompt, with its score."""

    id: int
    key: str
    line: str
    score: float
    relevance: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """The parts of the score: `coverage`, `cosine` (with vectors), `rrf`, `recency`, `importance`, `tags`."""


def idf(lines: int, matching: int) -> float:
    """Return the weight of a word that `matching` of `lines` lines have: ln(1 + (N − n + ½) / (n + ½)), as in BM25.

    (Robertson and Zaragoza 2009.) N is at least FEWEST_LINES: otherwise, in a memory of three exchanges, one word that
    none of them has would outweigh all words that one of them has.
    """
    lines = max(lines, FEWEST_LINES)
    return math.log(1 + (lines - matching + 0.5) / (matching + 0.5))


def coverage(weights: Mapping[str, float], matched: Iterable[str]) -> float:
    """Return the share (0–1) of the question's word weights that a line has; 0 for a question without words.

    A word that no line has counts in full: for a question about a *diamond* seller, a line about the pepper seller
    covers little.
    """
    whole = sum(weights.values())
    return sum(weights[word] for word in matched) / whole if whole else 0.0


def recency(age_hours: float) -> float:
    """Return the recency of a memory of this age: 1 now, 0.5 after six days, 0.03 after a month."""
    return math.pow(RECENCY_PER_HOUR, max(0.0, age_hours))


def rank(query: Query, candidates: Sequence[Candidate], top: int) -> list[ScoredLine]:
    """Return at most `top` relevant lines, best first."""
    scored = (_scored(query, candidate) for candidate in candidates)
    relevant = sorted((line for line in scored if _relevant(line)), key=lambda line: (-line.score, line.id))
    return [line for line in relevant[:top] if line.score >= KEEP_WITHIN * relevant[0].score]


def _relevant(line: ScoredLine) -> bool:
    return line.relevance >= (FLOOR_WITH_VECTORS if "cosine" in line.parts else FLOOR_WITHOUT_VECTORS)


def _scored(query: Query, candidate: Candidate) -> ScoredLine:
    """Return a candidate with its score, whose three parts are those of Park et al. 2023.

    They add them after stretching each to 0–1 among the candidates. Here they are multiplied, so that an important or
    recent memory that is not relevant stays out.
    """
    rrf = sum(1 / (RRF_K + place) for place in (candidate.bm25_rank, candidate.vector_rank) if place is not None)
    fresh = 1.0 if candidate.age_hours is None else recency(candidate.age_hours)
    tags = 1.0 if candidate.tags & query.context else 0.0
    parts = {
        "coverage": candidate.coverage,
        "rrf": rrf,
        "recency": fresh,
        "importance": candidate.importance,
        "tags": tags,
    }
    relevance = candidate.coverage
    if candidate.cosine is not None:
        parts["cosine"] = candidate.cosine
        likeness = (candidate.cosine - UNRELATED_COSINE) / (1 - UNRELATED_COSINE)
        relevance = LIKENESS_WEIGHT * max(0.0, likeness) + (1 - LIKENESS_WEIGHT) * candidate.coverage
    nudge = RANK_NUDGE * rrf * (RRF_K + 1) / 2 + TAG_NUDGE * tags
    score = relevance * (2 + fresh + candidate.importance) / 4 + nudge
    return ScoredLine(candidate.id, candidate.key, candidate.line, score, relevance, parts)
