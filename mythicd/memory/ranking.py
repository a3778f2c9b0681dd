"""Which memories belong in the prompt: from two lists of hits to a few lines that are really about the question.

    BM25 20 + vectors 20  →  fused by rank  →  relevance, and the floor under it  →  × recency × importance  →  best 6

**Fusion** (Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion"): rrf = Σ 1 / (60 + rank) over the lists that
hold the line, ranks from 1. It needs no common scale, so it orders hits; but it is as high for the best of twenty
wrong lines as for the right one, so it cannot say "nothing here answers that". Hence:

**Relevance** is absolute, 0–1, and made of two measures that do not depend on what else was found:
  coverage  the share of the question's words that the line has, each weighed by how rare it is in the lore:
            Σ idf(words in the line) / Σ idf(all words), idf = ln(1 + (N − n + ½) / (n + ½)) as in BM25
            (Robertson and Zaragoza 2009). A word that no line has counts in full: asked for a *diamond* seller, a
            line about the pepper seller covers little.
  likeness  the cosine of the two vectors, stretched so that 0.15 (unrelated) is 0 and 1 (the same) is 1.
With vectors relevance = 0.9 · likeness + 0.1 · coverage, without them it is the coverage. What lies under the floor,
or far under the best, is not shown: a line that does not answer costs a small model more than a line too few, and a
character who finds nothing says that she does not know. Floors, weights and the stretch were chosen by a search over a
grid on one half of tests/memory/questions.yaml, where they lie on a plateau; the other half was measured only.

**Score** = relevance · ¼ (2 + recency + importance), plus a nudge for the rank and for tags of the scene. The three
parts are those of Park et al. 2023 ("Generative Agents"), where they are added after being stretched to 0–1 among the
candidates; multiplied, an important or recent memory that is beside the point stays out. Recency is 0.995 per hour, as
there; lore does not age.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mythicd.memory.query import Query

RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack et al. 2009)."""

RECENCY_PER_HOUR = 0.995
"""How much of a memory's recency is left after an hour (Park et al. 2023)."""

FEWEST_LINES = 50
"""Collections smaller than this are weighed as if they had so many lines."""

UNRELATED_COSINE = 0.15
"""Cosine of all-MiniLM-L6-v2 from which a line counts as having anything to do with a question. Among the lines of a
small town the best cosine for an off-topic question is 0.2 (median; up to 0.35), that of the right line is 0.57
(median; nine in ten over 0.35)."""

LIKENESS_WEIGHT = 0.90
"""The share of likeness in relevance, where there are vectors; coverage has the rest."""

FLOOR_WITH_VECTORS = 0.21
"""Least relevance of a line that is shown: a cosine of 0.35 if it shares no word with the question, of 0.25 if it has
all of them."""

FLOOR_WITHOUT_VECTORS = 0.45
"""The same where words alone decide: nearly half of what the question asks by weight must be in the line."""

KEEP_WITHIN = 0.70
"""Lines that score less than this share of the best are left out."""

RANK_NUDGE = 0.03
TAG_NUDGE = 0.02
"""What being first in both lists, and having a tag in common with the scene, add to a score: they settle ties."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that was found, and what is known of it."""

    id: int
    line: str
    key: str
    """The lore id, or the turn id of a memory."""

    coverage: float
    """0–1, see above."""

    bm25_rank: int | None = None
    """Place in the list of word hits, from 1; None when it is not in it."""

    vector_rank: int | None = None
    cosine: float | None = None
    """Likeness to the question, −1 to 1; None when there are no vectors."""

    tags: frozenset[str] = frozenset()
    """Words of the line's tags."""

    importance: float = 0.5
    """0–1."""

    age_hours: float | None = None
    """Hours since it happened; None for what does not age."""


@dataclass(frozen=True, slots=True)
class ScoredLine:
    """A line for the prompt, and why it is there."""

    id: int
    key: str
    line: str
    score: float
    relevance: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """`coverage`, `cosine` (if there are vectors), `rrf`, `recency`, `importance`, `tags`: all that made the score."""


def idf(lines: int, matching: int) -> float:
    """Return how much a word tells that `matching` of `lines` lines have.

    Of few lines as of FEWEST_LINES: otherwise, in a memory of three exchanges, one word that none of them has would
    outweigh all that one of them has.
    """
    lines = max(lines, FEWEST_LINES)
    return math.log(1 + (lines - matching + 0.5) / (matching + 0.5))


def coverage(weights: Mapping[str, float], matched: Iterable[str]) -> float:
    """Return the share (0–1) of the words' weight that a line with these words has; 0 for a question of no words."""
    whole = sum(weights.values())
    return sum(weights[word] for word in matched) / whole if whole else 0.0


def recency(age_hours: float) -> float:
    """Return how present a memory of this age still is: 1 now, 0.5 after six days, 0.03 after a month."""
    return math.pow(RECENCY_PER_HOUR, max(0.0, age_hours))


def rank(query: Query, candidates: Sequence[Candidate], top: int) -> list[ScoredLine]:
    """Return at most `top` lines that are relevant, best first; none when nothing is."""
    scored = (_scored(query, candidate) for candidate in candidates)
    relevant = sorted((line for line in scored if _relevant(line)), key=lambda line: (-line.score, line.id))
    return [line for line in relevant[:top] if line.score >= KEEP_WITHIN * relevant[0].score]


def _relevant(line: ScoredLine) -> bool:
    return line.relevance >= (FLOOR_WITH_VECTORS if "cosine" in line.parts else FLOOR_WITHOUT_VECTORS)


def _scored(query: Query, candidate: Candidate) -> ScoredLine:
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
