"""Recogniser noise: errors of a speech recogniser in the player's words."""

from __future__ import annotations

import re
from random import Random

from training.corpus.amounts import number_words

_SOUNDS_ALIKE = tuple(
    (pair.split(">")[0], pair.split(">")[1])
    for pair in (
        "ph>f ck>k th>d th>t ee>ea ea>ee oo>u ou>ow ai>ay c>k s>z z>s b>p p>b d>t t>d g>k v>f m>n n>m i>e e>i a>o o>a "
        "u>o y>i l>r r>l w>wh wh>w er>or or>er ll>l tt>t ss>s h> g> d> t>"
    ).split()
)
_MISHEARD = dict(
    pair.split(">")
    for pair in (
        "when>then where>were who>you what>that does>was is>his how>now the>a inn>in mill>meal ale>ail for>four to>two "
        "two>to way>weigh price>prize cost>coast sell>cell open>opening close>clothes map>nap give>live tell>tall "
        "harbor>arbor market>mark_it tavern>tavern_in guard>card bow>bough their>there know>no night>knight made>maid "
        "tale>tail some>sum here>hear which>witch"
    ).split()
)
_FILLERS = "um uh er the a well so and like oh please now then okay hmm i it".split()
_PUNCTUATION = re.compile(r"[^\w\s']")
_NUMBER = re.compile(r"\d+")


def spoken_numbers(text: str) -> str:
    """Return digits as words, as a recogniser writes them."""
    return _NUMBER.sub(lambda found: number_words(min(999, int(found[0]))) if int(found[0]) else "zero", text)


def misheard(word: str, rng: Random) -> str:
    """Return a word that sounds similar."""
    if word in _MISHEARD and rng.random() < 0.7:
        return _MISHEARD[word].replace("_", " ")
    fitting = [(old, new) for old, new in _SOUNDS_ALIKE if old in word]
    if not fitting:
        return word
    old, new = fitting[int(rng.random() * len(fitting))]
    return word.replace(old, new, 1) or word


def as_heard(text: str, rng: Random, mistakes: int, keep: str = "") -> str:
    """Return lower-case words without punctuation, digits as words, with so many `mistakes`, but not in `keep`."""
    heard = spoken_numbers(_PUNCTUATION.sub(" ", text.lower())).split()
    for _ in range(mistakes):
        if len(heard) < 3:
            break
        at = int(rng.random() * len(heard))
        if heard[at] == keep:
            continue
        roll = rng.random()
        if roll < 0.6:
            heard[at] = misheard(heard[at], rng)
        elif roll < 0.8:
            del heard[at]
        else:
            heard.insert(at, rng.choice(_FILLERS))
    return " ".join(heard)
