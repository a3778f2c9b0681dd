"""The trigram language model: weighted triples to smoothed probabilities, in the ARPA format that decoders read.

Interpolated Witten–Bell smoothing (Bell, Cleary & Witten 1990; Chen & Goodman 1999, §2.4), with C(h) the weight after a
history h, T(h) the number of different words after it, and h' = h without its oldest word:
p(w|h) = (1 − γ) · C(h w)/C(h) + γ · p(w|h'), γ = T(h) / (T(h) + κ·C(h)), down to the uniform distribution. ARPA lists
p(w|h) for seen triples, and a back-off weight b(h) = γ for the rest: p(w|h) = b(h)·p(w|h').
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from mythicd.asr.pocketsphinx.ngram_counts import BEGIN, END, Triple

KAPPA: Final = 20.0
"""Observations in a unit of weight, since weights come from patterns: the best of 3, 8, 20, 30 on the questions of
tests/asr/test_pocketsphinx.py."""
LEAST: Final = 0.004
"""Least weight of a listed triple: most pairs of a rare wording and a rare name have less."""
_NEVER: Final = -99.0
"""log10 of zero, as ARPA files write it."""

Pair = tuple[str, str]
H = TypeVar("H", str, Pair)


@dataclass(frozen=True, slots=True)
class Trigram:
    """A trigram model: probabilities of the last word of each key. `</s>` is a word, `<s>` only a history."""

    one: Mapping[str, float]
    two: Mapping[Pair, float]
    three: Mapping[Triple, float]
    back_one: Mapping[str, float]
    """Back-off weight of a one-word history."""
    back_two: Mapping[Pair, float]

    @property
    def words(self) -> list[str]:
        """All words that can be recognised, sorted."""
        return sorted(word for word in self.one if word != END)

    def probability(self, word: str, history: Pair | tuple[str] | tuple[()]) -> float:
        """Return p(word | up to two words before it), as a decoder calculates it from the ARPA file."""
        if len(history) == 2:
            seen = self.three.get((*history, word))
            if seen is not None:
                return seen
            return self.back_two.get(history, 1.0) * self.probability(word, (history[1],))
        if len(history) == 1:
            pair = self.two.get((history[0], word))
            if pair is not None:
                return pair
            return self.back_one.get(history[0], 1.0) * self.one[word]
        return self.one[word]

    def arpa(self) -> str:
        """Return the model as the text of an ARPA file."""
        lines = ["\\data\\", f"ngram 1={len(self.one) + 1}", f"ngram 2={len(self.two)}", f"ngram 3={len(self.three)}"]
        lines += ["", "\\1-grams:", f"{_NEVER:.1f} {BEGIN} {_log(self.back_one.get(BEGIN, 1.0)):.4f}"]
        lines += [f"{_log(p):.4f} {w} {_log(self.back_one.get(w, 1.0)):.4f}" for w, p in sorted(self.one.items())]
        lines += ["", "\\2-grams:"]
        lines += [
            f"{_log(p):.4f} {v} {w} {_log(self.back_two.get((v, w), 1.0)):.4f}"
            for (v, w), p in sorted(self.two.items())
        ]
        lines += ["", "\\3-grams:"]
        lines += [f"{_log(p):.4f} {u} {v} {w}" for (u, v, w), p in sorted(self.three.items())]
        return "\n".join([*lines, "", "\\end\\", ""])


def estimate(triples: Mapping[Triple, float], *, kappa: float = KAPPA, least: float = LEAST) -> Trigram:
    """Estimate the trigram from weighted triples of sentences padded `<s> <s> … </s>`."""
    pairs: defaultdict[Pair, float] = defaultdict(float)
    for (_, v, w), weight in triples.items():
        pairs[v, w] += weight
    singles: defaultdict[str, float] = defaultdict(float)
    for (_, w), weight in pairs.items():
        singles[w] += weight

    total, kinds = sum(singles.values()), len(singles)
    gamma = kinds / (kinds + kappa * total) if kinds else 1.0
    one = {w: (1 - gamma) * weight / total + gamma / kinds for w, weight in singles.items()}

    back_one, mass_one = _histories(((v, weight) for (v, _), weight in pairs.items()), kappa)
    two = {(v, w): (1 - back_one[v]) * weight / mass_one[v] + back_one[v] * one[w] for (v, w), weight in pairs.items()}
    real = [(triple, weight) for triple, weight in triples.items() if triple[1] != BEGIN]
    gammas, mass_two = _histories((((u, v), weight) for (u, v, _), weight in real), kappa)
    back_two = dict(gammas)
    for (u, v, _), weight in real:
        if weight < least:
            # The share of unlisted triples goes to the back-off, so that all still sums to 1.
            back_two[u, v] += (1 - gammas[u, v]) * weight / mass_two[u, v]
    three = {
        (u, v, w): (1 - gammas[u, v]) * weight / mass_two[u, v] + back_two[u, v] * two[v, w]
        for (u, v, w), weight in real
        if weight >= least
    }
    return Trigram(one, two, three, back_one, back_two)


def _histories(seen: Iterable[tuple[H, float]], kappa: float) -> tuple[dict[H, float], dict[H, float]]:
    """Return γ and the weight of every history, given one entry for each different word after it."""
    kinds: defaultdict[H, int] = defaultdict(int)
    mass: defaultdict[H, float] = defaultdict(float)
    for history, weight in seen:
        kinds[history] += 1
        mass[history] += weight
    return {history: count / (count + kappa * mass[history]) for history, count in kinds.items()}, dict(mass)


def _log(probability: float) -> float:
    return math.log10(probability) if probability > 0 else _NEVER
