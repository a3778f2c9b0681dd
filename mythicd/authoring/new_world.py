"""`mythicd world new`: a small world that runs at once, with a comment on every key."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mythicd.authoring.persona import slug
from mythicd.authoring.yaml_writer import write_files
from mythicd.config.yaml_reader import FileProblem

NPC_ID = "keeper_01"
"""The character of a new world."""

_FILES = {
    "world.yaml": """\
# The world as a whole. Every character knows `title` and `rules`: they stand first in every prompt.
title: {title}

rules:
  - Stay inside the world of {title}
  - Never insult the player

# Further words that players may ask about; the recogniser favours them. It knows the names in things.yaml, and the
# titles and tags of lore, without this list.
topics:
  - the weather
  - the road

# Every zone of your game. A zone that is not listed here is reported, so that a typo does not go unnoticed.
zones: [inn]
""",
    f"npcs/{NPC_ID}.yaml": """\
# One character. The name of this file is its id: the one your game uses.
name: Nell Brook                    # how others call it
archetype: an innkeeper             # "You are Nell Brook, an innkeeper."
style: warm, plain                  # how it speaks
backstory:                          # facts about itself, without a subject
  - Keeps the inn at the crossroads
  - Bakes an apple pie every morning
  - Used to sail on a river barge
rules:                              # what it always or never does
  - Never tell who sleeps in which room
taboos: []                          # what it will not do, as a phrase or an id: reveal_secret_passage
catchphrases: [dear]                # a form of address is used to address the player
aliases: [Nell, the innkeeper]      # other names that players use
voice_id: nell                      # from voices.yaml
zone: inn                           # where it is at the start, and whose lore it knows
# backchannels: ["Mm.", "Aye."]     # what it says while it listens; the default ones without this line
# hesitations: ["Let me see."]      # what it says before a late reply; the default ones without this line
# llm: {{temperature: 0.7}}           # sampling of this character: see docs/worlds.md
""",
    "lore/inn.yaml": """\
# What characters in the zone `inn` know. Without `zone` everybody knows it. One fact an entry, in one or two short
# sentences that name their subject; times and prices in words, since they are heard and spoken.
zone: inn
entries:
  - id: inn_hours                   # an id of your choice, used once in the world
    text: The inn is open from sunrise until midnight.
    title: the inn                  # what the entry is about; may be left out
    tags: [inn]                     # groups entries; may be left out
  - id: pie_price
    text: A slice of apple pie costs two copper coins.
    title: apple pie
    tags: [inn, prices]
  - id: room_price
    text: A room for the night costs four silver coins.
    title: a room for the night
    tags: [inn, prices]
  - id: well_keeper
    text: Old Ben looks after the well behind the inn.
    title: Old Ben
    tags: [inn]
""",
    "lore/everywhere.yaml": """\
# What everybody in this world knows: there is no `zone`.
entries:
  - id: road_north
    text: The north road leads to the mountains.
    title: the north road
    tags: [roads]
  - id: road_south
    text: The south road leads to the sea.
    title: the south road
    tags: [roads]
""",
    "things.yaml": """\
# What tools can be pointed at: list -> id -> thing. Players and models say a name or an alias; your game gets the id
# and the values. Articles, capitals and plurals need no alias.
places:
  inn:
    name: the inn
    aliases: [the tavern]
    values: {{x: 0.0, y: 0.0, z: 0.0}}
  well:
    name: the well
    values: {{x: 12.0, y: 0.0, z: -4.5}}

items:
  apple_pie:
    name: a slice of apple pie
    aliases: [apple pie, pie]
""",
    "tools.yaml": """\
# What characters can do in your game. A model fills in `words`, by name; Mythic looks the name up in things.yaml and
# sends your game `arguments`, checked against the JSON Schema in `schema`. docs/worlds.md describes every key.
- name: set_waypoint
  description: show the player the way to a place
  words:
    place: {{kind: places, description: name of a place}}  # `kind` is a list of things.yaml
  arguments: {{x: $place.x, y: $place.y, z: $place.z}}     # `$place.x` is the value x of that place
  schema:
    type: object
    properties: {{x: {{type: number}}, y: {{type: number}}, z: {{type: number}}}}
    required: [x, y, z]
    additionalProperties: false
  # When the tool is offered: chitchat, trade, quest, hint, combat, navigation, admin. Always without this line.
  intents: [navigation, quest, hint]

- name: give_item
  description: hand the player an item
  words:
    item: {{kind: items, description: name of an item}}
  arguments: {{player_id: $player.id, item_id: $item.id}}
  schema:
    type: object
    properties: {{player_id: {{type: string}}, item_id: {{type: string}}}}
    required: [player_id, item_id]
    additionalProperties: false
  intents: [trade, quest]
""",
    "voices.yaml": """\
# voice_id -> how it sounds. `espeak` is an espeak-ng voice with a variant (+f1 to +f5, +m1 to +m8), `rate` is in words
# per minute, `pitch` from 0 to 99. Keep en-us+f2 free: `mythicd talk --say` asks its questions in it.
nell: {{espeak: en-gb-x-rp+f4, rate: 165, pitch: 50}}
""",
}
"""Files of a new world, with `{title}` for its title. Braces of YAML are doubled."""

_PLAIN_TITLE = re.compile(r"[\w .,'’()&-]{1,60}")


def new_world(name: str, parent: Path) -> Path:
    """Make a world of this name in a folder; return its path. Raises FileProblem if it exists, or the name is unfit."""
    title = " ".join(name.split())
    folder_name = name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name) else slug(name)
    if not folder_name or not _PLAIN_TITLE.fullmatch(title):
        raise FileProblem(parent, f"invalid name of a world: {name!r}", remedy="Use letters, digits, - and _.")
    path = parent / folder_name
    if os.path.lexists(path):
        raise FileProblem(path, "this folder exists already", remedy="Choose another name, or another --dir.")
    title = re.sub(r"[_-]+", " ", title)
    title = title if any(letter.isupper() for letter in title) else title.title()
    files = {path / file: text.format(title=title) for file, text in _FILES.items()}
    write_files(files, force=False)
    return path


def default_parent(data: Path) -> Path:
    """Return where a new world is made: `worlds` in the current folder if it is there, else in the data dir."""
    here = Path.cwd() / "worlds"
    return here if here.is_dir() else data / "worlds"
