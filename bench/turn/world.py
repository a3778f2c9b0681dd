"""The world of the turn benchmark: a town whose characters have long prompts, the questions, and the answer.

The town is Lanternport with more words: the rules contain common knowledge, so that the shared part of a prompt has
about 300 tokens; each persona has about 200 of its own. Its lore is the sample world's, and so are the lines found for
a question and the words that the recogniser expects.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from mythicd.config.world_files import World, load_world
from mythicd.dialogue import prompt
from mythicd.engines.llm import Prompt

QUESTIONS = (
    "When does the tavern close?",
    "Where does the ferry leave?",
    "How much is a room for the night?",
    "When is the harbor office open?",
    "Can you show me the way to the market?",
)
"""After each of these Pipecat's smart-turn model finds the synthetic voice finished; after others it waits 3 s."""
REPLY = "That I can tell you, traveller. We open when the last lantern is lit!"
"""Two sentences with a comma in the first; no word occurs twice (fixed_reply_model.py)."""
CLAUSE = 6
"""Tokens of its first clause, with which a voice can start."""

SAMPLE = Path(__file__).parents[2] / "worlds" / "lanternport"
VOICE = "keeper"
"""A fast voice, since the length of an answer is not measured."""
PIPER_VOICE = "en_US-joe-medium"
NAMES = (
    "Ada Barrow", "Bram Cole", "Cora Dunn", "Edwin Frost", "Greta Holm", "Ivo Jarrett", "Klara Lund", "Milo North",
    "Olga Pike", "Quill Reed", "Sanna Thorne", "Ulric Vance", "Wanda York", "Zeb Ashby",
)  # fmt: skip
PERSONA = (
    "Keeps a ledger of every ship that has come in since the great storm",
    "Was born in a fishing hut below the lighthouse on a night of heavy fog",
    "Sailed to the southern islands twice and came home poorer both times",
    "Lost a brother to the reef and has not forgiven the sea for it",
    "Knows which of the sailors pay their debts and which of them only promise",
    "Learned to read from an old chart and still spells some names wrongly",
    "Cooks a soup of eel and leek that nobody has dared to finish",
    "Plays the fiddle badly but with great joy when the harbor is quiet",
    "Owes the healer three silver coins for a tooth pulled last winter",
    "Has a grey cat that sleeps on the warm stones by the oven",
    "Never walks past the old well after midnight and will not say why",
    "Saves every copper coin for a small boat with a red sail",
    "Remembers the names of all the children who were born in the last flood",
    "Once hid a smuggler in the cellar and regretted it for a year",
    "Trusts people who look at their hands before they answer",
    "Thinks that the ghost ship is only fog and bad ale",
)
"""Lines of personas; each character starts with another one."""
COMMON = 18
"""Lines of lore that are in the rules, as common knowledge."""
LINES = 11
"""Lines of a persona."""


def build(folder: Path, cast: int) -> World:
    """Write the world with `cast` characters into a folder, and read it."""
    folder.mkdir(parents=True)
    shutil.copy(SAMPLE / "things.yaml", folder)
    voice = {"espeak": "en-gb-x-rp+f2", "rate": 350, "piper": {"model": PIPER_VOICE}}
    (folder / "voices.yaml").write_text(yaml.safe_dump({VOICE: voice}))
    shutil.copytree(SAMPLE / "lore", folder / "lore")
    sample = load_world(SAMPLE)
    common = [placed.entry.text for placed in sample.lore if not placed.zone]
    rules = [*sample.rules, *common[:COMMON]]
    head = {"title": sample.title, "rules": rules, "topics": list(sample.topics)}
    (folder / "world.yaml").write_text(yaml.safe_dump(head))
    (folder / "npcs").mkdir()
    for number in range(cast):
        lines = [PERSONA[(number + line) % len(PERSONA)] for line in range(LINES)]
        card = {
            "name": NAMES[number],
            "archetype": "a keeper of the harbor",
            "style": "plain, calm",
            "backstory": lines,
            "voice_id": VOICE,
            "zone": "harbor",
        }
        (folder / "npcs" / f"{npc_id(number)}.yaml").write_text(yaml.safe_dump(card))
    return load_world(folder)


def npc_id(number: int) -> str:
    """Return the id of a character."""
    return f"keeper_{number:02}"


def front(world: World, npc: str) -> Prompt:
    """Return the system part of a character's prompt, in Mythic's wording."""
    card = world.characters[npc]
    character = prompt.character_part(card.name, card.archetype, card.manner, card.persona_lines())
    return Prompt(prompt.world_part(world.title, world.rules, ()), character)


def texts(world: World) -> Iterator[str]:
    """Yield all texts that can be in a prompt of this world."""
    for npc in world.characters:
        whole = front(world, npc)
        yield whole.world + whole.character
    for placed in world.lore:
        yield f"\n## Lore\n- {placed.entry.title}: {placed.entry.text}\n## Player\n"
    yield '\n## Recent Memory\n- You said: "a"\n## Scene\n{"zone": "harbor"}\n'
    for question in QUESTIONS:
        words = question.lower().rstrip("?")
        yield f"{question}\n{words}\n"
        yield " ".join(["", words])
        yield words
    yield REPLY
