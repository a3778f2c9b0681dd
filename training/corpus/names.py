"""Things that can be spoken of: invented and composed names, amounts, times, spots."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random

import yaml

from training.corpus.words import word, words

_ONSETS = (
    "b c d f g h j k l m n p r s t v w z br cr dr fr gr kr pr tr bl cl fl gl pl sl st sk sp sh ch th qu wh y".split()
)
_VOWELS = "a e i o u a e i o ae ai ea ee ia io oo ou ei y au".split()
_CODAS = " , , ,b,d,g,k,l,m,n,p,r,s,t,x,ll,nd,rn,rt,st,sk,ck,th,sh,ng,ss,lt,rd,rk,mp,nn,ld,wn".replace(" ", "").split(
    ","
)
_COMMON_FIRST = (
    "anna ben carla dora edwin frida george hanna ida jack karl lena mary nora otto paul rosa sam tom ulla vera will "
    "alice bertha conrad dirk emma felix greta hugo irma jonas kate leo mina nils olga peter ruth simon thea ursula "
    "victor walter agnes boris clara dennis eva fergus gilda harold ines jasper klaus lucy martin nell oscar pip "
    "rufus sybil toby wanda alma bram cora della elias flora gus hilda ivan judith kit lotte milo nina orla ralph "
    "stella tilda vince wilma marla ella arthur maud finn rose abel beth colin daisy ezra fay gideon hazel"
).split()
_TITLES = (
    "captain old mother brother sister father lord lady sir dame master mistress doctor uncle aunt sergeant widow king "
    "queen prince princess judge professor major madam young big little mad blind grandma bishop admiral"
).split()
_EPITHETS = (
    "bold,lame,red,black,younger,elder,wise,silent,cruel,kind,mad,tall,small,fat,thin,lucky,bald,grey,quick,blind,deaf,brave"
).split(",")
_SUFFIXES = (
    "bridge ford gate haven moor field wood stead hill dale brook well mouth cliff stone fall watch hold port mere ton wick"
).split()
_STREETS = "street row lane alley road square yard hill quay steps market gate court bridge terrace wharf".split()
_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_UNITS = (
    "silver,gold,coppers,silver pieces,gold pieces,gold coins,silver coins,crowns,shillings,pennies,tokens,credits,"
    "ducats,marks,coins,copper coins,pearls,florins,pieces of eight,dollars,talers,farthings,sovereigns"
).split(",")
_MOMENTS = (
    "sunset,sunrise,noon,midnight,dawn,dusk,nightfall,twilight,midday,daybreak,first light,high tide,low tide,the noon bell,"
    "the evening bell,the morning bell,moonrise,the last bell,lamp lighting"
).split(",")
_HELD_OUT_NAME = re.compile(r"\b[A-Z][a-z]+(?:'s)?(?: (?:of |the )?[A-Z][a-z]+)+")


@dataclass(frozen=True, slots=True)
class Entity:
    """Something lore can be about."""

    full: str
    """As lore writes it, with its article: `the gilded heron`, `captain isolde`."""
    shorts: tuple[str, ...] = ()
    """Other ways a player may put it: `heron`, `isolde`."""


@cache
def held_out_names() -> frozenset[str]:
    """Names of the dev and sealed worlds, lower case without article: never generated."""
    found: set[str] = set()
    for path in files("training").joinpath("worlds").iterdir():
        if not path.name.endswith(".yaml"):
            continue
        text = path.read_text("utf-8")
        for names in yaml.safe_load(text)["names"].values():
            found.update(name.lower().removeprefix("the ") for name in names)
        found.update(name.lower() for name in _HELD_OUT_NAME.findall(text))
    return frozenset(found)


def _one(options: tuple[str, ...] | list[str], rng: Random) -> str:
    return options[int(rng.random() * len(options))]


def invented(rng: Random) -> str:
    """A made-up word of one to three syllables."""
    count = 1 if rng.random() < 0.15 else 2 if rng.random() < 0.75 else 3
    made = "".join(
        _one(_ONSETS, rng) + _one(_VOWELS, rng) + (_one(_CODAS, rng) if rng.random() < 0.6 else "")
        for _ in range(count)
    )
    return made if len(made) > 2 else made + "n"


def first_name(rng: Random) -> str:
    """A given name, mostly made up."""
    return _one(_COMMON_FIRST, rng) if rng.random() < 0.4 else invented(rng)


def number_words(value: int) -> str:
    """1 to 999 in English words."""
    if value < 20:
        return _ONES[value - 1]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens - 2] + (f" {_ONES[ones - 1]}" if ones else "")
    hundreds, rest = divmod(value, 100)
    return f"{_ONES[hundreds - 1]} hundred" + (f" and {number_words(rest)}" if rest else "")


def _amount(rng: Random, most: int = 99) -> str:
    roll = rng.random()
    value = (
        rng.randint(2, 12)
        if roll < 0.5
        else rng.randint(2, most)
        if roll < 0.85
        else rng.choice((20, 30, 40, 50, 100, 200, 300, 500))
    )
    return number_words(value) if rng.random() < 0.7 else str(value)


def _person(rng: Random) -> Entity:
    roll = rng.random()
    if roll < 0.28:
        return Entity(first_name(rng))
    if roll < 0.5:
        first, last = first_name(rng), _one(words("animal"), rng) if rng.random() < 0.2 else invented(rng)
        if rng.random() < 0.3:
            last = _one(words("adjective"), rng).replace("-", "") + _one(words("thingnoun"), rng).split(" ")[0]
        return Entity(f"{first} {last}", (first, last))
    if roll < 0.7:
        title, first = _one(_TITLES, rng), first_name(rng)
        return Entity(f"{title} {first}", (first,) if rng.random() < 0.7 else (f"the {title}", first))
    if roll < 0.82:
        first = first_name(rng)
        by = _one(words("trade"), rng) if rng.random() < 0.5 else _one(_EPITHETS, rng)
        return Entity(f"{first} the {by}", (first,))
    if roll < 0.94:
        return Entity(f"the {_one(words('trade'), rng)}")
    adjective, trade = _one(words("adjective"), rng), _one(words("trade"), rng)
    return Entity(f"the {adjective} {trade}", (f"the {trade}",))


def _place(rng: Random) -> Entity:
    roll = rng.random()
    noun = _one(words("placenoun"), rng)
    if roll < 0.2:
        return Entity(f"the {noun}")
    if roll < 0.38:
        adjective = _one(words("adjective"), rng)
        return Entity(f"the {adjective} {noun}", (f"the {noun}",))
    if roll < 0.56:
        adjective = _one(words("adjective"), rng)
        sign = _one(words("animal" if rng.random() < 0.6 else "thingnoun"), rng)
        kind = rng.random()
        if kind < 0.35:
            house = rng.choice(("inn", "tavern", "alehouse", "tea house", "hostel"))
            return Entity(f"the {adjective} {sign} {house}", (f"the {adjective} {sign}", f"the {house}", f"the {sign}"))
        return Entity(f"the {adjective} {sign}", (f"{adjective} {sign}", f"the {sign}"))
    if roll < 0.66:
        return Entity(invented(rng) + (_one(_SUFFIXES, rng) if rng.random() < 0.5 else ""))
    if roll < 0.74:
        name = invented(rng)
        return Entity(f"{name} {noun}", (f"the {noun}", name))
    if roll < 0.82:
        owner = first_name(rng)
        return Entity(f"{owner}'s {noun}", (f"the {noun}",))
    if roll < 0.9:
        base = invented(rng) if rng.random() < 0.4 else _one(words("trade" if rng.random() < 0.5 else "thingnoun"), rng)
        return Entity(f"{base} {_one(_STREETS, rng)}")
    if roll < 0.95:
        return Entity(f"saint {invented(rng)}'s {rng.choice(('chapel', 'church', 'well', 'bridge', 'gate', 'abbey'))}")
    return Entity(f"the {noun} of {rng.choice(('', 'the '))}{invented(rng)}", (f"the {noun}",))


def _thing(rng: Random) -> Entity:
    roll = rng.random()
    noun = _one(words("thingnoun"), rng)
    if roll < 0.22:
        return Entity(f"the {noun}")
    if roll < 0.62:
        adjective = _one(words("adjective"), rng)
        return Entity(f"the {adjective} {noun}", (f"{adjective} {noun}", f"the {noun}"))
    if roll < 0.76:
        return Entity(f"{first_name(rng)}'s {noun}", (f"the {noun}",))
    if roll < 0.84:
        trade = _one(words("trade"), rng)
        return Entity(f"the {trade}'s {noun}", (f"the {noun}",))
    if roll < 0.92:
        return Entity(f"the {noun} of {invented(rng)}", (f"the {noun}",))
    base = _one(words("material" if rng.random() < 0.3 else "animal"), rng).removeprefix("a ")
    return Entity(f"the {base} {noun}", (f"the {noun}",))


def _dish(rng: Random) -> Entity:
    base = _one(words("dishbase"), rng)
    roll = rng.random()
    if roll < 0.4:
        return Entity(f"{'the ' if rng.random() < 0.4 else ''}{_one(words('food'), rng)} {base}", (f"the {base}",))
    if roll < 0.8:
        return Entity(f"the {_one(words('adjective'), rng)} {base}", (f"the {base}",))
    return Entity(f"{first_name(rng)}'s {base}", (f"the {base}",))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _goods(rng: Random) -> Entity:
    roll = rng.random()
    if roll < 0.3:
        noun = _one(words("thingnoun"), rng)
        return Entity(_article(noun), (f"the {noun}", f"one {noun}"))
    if roll < 0.55:
        adjective, noun = _one(words("adjective"), rng), _one(words("thingnoun"), rng)
        return Entity(_article(f"{adjective} {noun}"), (f"the {adjective} {noun}", f"the {noun}"))
    if roll < 0.7:
        vessel = rng.choice(
            ("mug", "cup", "bowl", "barrel", "sack", "bottle", "loaf", "pound", "basket", "jar", "plate")
        )
        return Entity(f"a {vessel} of {_one(words('food'), rng)}")
    if roll < 0.82:
        return Entity(
            rng.choice(
                (
                    "a room", "a bed", "a room for the night", "a bed for a night", "a hot bath", "a ride", "passage",
                    "a ticket", "a place at the table", "a haircut", "a lesson", "a candle lit bath", "a stall for a horse",
                    "a night in the inn", "a ride on the ferry", "a seat", "a warm meal", "a shave", "a horse", "a mule",
                )
            )
        )  # fmt: skip
    if roll < 0.92:
        return Entity(_one(words("goods2"), rng))
    return _dish(rng)


def _time(rng: Random) -> Entity:
    roll = rng.random()
    hour = rng.randint(1, 12)
    if roll < 0.2:
        text = f"{rng.randint(0, 23):02d}:{rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59))):02d}"
    elif roll < 0.4:
        text = _one(_MOMENTS, rng)
    elif roll < 0.6:
        text = f"{number_words(hour)} in the {rng.choice(('morning', 'evening', 'afternoon'))}"
    elif roll < 0.7:
        text = f"{hour} {rng.choice(('am', 'pm'))}"
    elif roll < 0.8:
        text = f"{number_words(hour) if rng.random() < 0.6 else hour} o'clock"
    elif roll < 0.88:
        text = f"the {_one(_ORDINALS, rng)} {rng.choice(('bell', 'hour', 'watch'))}"
    elif roll < 0.95:
        text = f"{rng.choice(('half past', 'quarter past', 'quarter to'))} {number_words(hour)}"
    else:
        text = f"{number_words(hour)} at night"
    return Entity(text)


def _price(rng: Random) -> Entity:
    extra = rng.random()
    if extra < 0.06:
        return Entity(
            rng.choice(
                (
                    "nothing",
                    "a song",
                    "a day's work",
                    "a kiss",
                    "your left shoe",
                    "a good story",
                    "half your catch",
                )
            )
        )
    more = f" and {_amount(rng, 20)} {_one(_UNITS, rng)}" if extra > 0.93 else ""
    return Entity(f"{_amount(rng)} {_one(_UNITS, rng)}{more}")


def _spot(rng: Random) -> Entity:
    roll = rng.random()
    if roll < 0.45:
        side = rng.choice(
            "behind,beside,next to,near,opposite,under,above,below,across from,at the back of,in front of,close to,just past,"
            "at the foot of,between the wall and,on top of,inside,beyond".split(",")
        )
        return Entity(f"{side} {_place(rng).full}")
    if roll < 0.6:
        return Entity(f"{word('direction', rng)} of {_place(rng).full}")
    if roll < 0.7:
        return Entity(f"on {invented(rng) if rng.random() < 0.5 else _one(words('trade'), rng)} {_one(_STREETS, rng)}")
    if roll < 0.8:
        return Entity(
            f"in the {_one(words('adjective'), rng)} {rng.choice(('house', 'quarter', 'district', 'hall', 'cellar', 'tower', 'room', 'yard', 'attic', 'corner'))}"
        )
    if roll < 0.9:
        return Entity(
            f"{number_words(rng.randint(2, 9))} {rng.choice(('doors', 'streets', 'steps', 'miles', 'houses', 'floors'))} {rng.choice(('from', 'past', 'below', 'above', 'behind'))} {_place(rng).full}"
        )
    return Entity(
        rng.choice(
            "by the river,in the harbor,at the edge of town,on the hill,by the sea,in the woods,at the crossroads,on the first floor,"
            "in the cellar,by the old oak,on the island,under the bridge,at the end of the road,by the pump,on the quay,in the attic,"
            "by the east gate,at the third terrace,under the stairs,in a locked drawer,in the shade of the wall,on the roof".split(
                ","
            )
        )
    )


_ENTITIES: dict[str, Callable[[Random], Entity]] = {
    "person": _person,
    "person2": _person,
    "place": _place,
    "thing": _thing,
    "dish": _dish,
    "goods": _goods,
    "time": _time,
    "price": _price,
    "spot": _spot,
    "number": lambda rng: Entity(_amount(rng)),
    "age": lambda rng: Entity(number_words(rng.randint(7, 99)) if rng.random() < 0.7 else str(rng.randint(7, 99))),
    "name": lambda rng: Entity(first_name(rng)),
    "duration": lambda rng: Entity(word("duration", rng) if rng.random() < 0.5 else f"{_amount(rng, 30)} {rng.choice(('hours', 'days', 'miles', 'leagues', 'minutes', 'paces'))}"),
    "food2": lambda rng: Entity(word("food", rng)),
    "reason": lambda rng: Entity(word("reason", rng)),
    "reason2": lambda rng: Entity(word("dishreason", rng)),
}  # fmt: skip


def entity(kind: str, rng: Random) -> Entity:
    """A fresh thing of a kind: one of the classes above, else an entry of that class in words.txt."""
    make = _ENTITIES.get(kind)
    while True:
        made = make(rng) if make else Entity(word(kind, rng))
        if made.full.removeprefix("the ") not in held_out_names():
            return made
