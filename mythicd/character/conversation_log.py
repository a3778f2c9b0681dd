"""What one character writes down, and what it takes up again when the daemon starts anew.

Every utterance goes into the memory database with who was there to hear it, and the character's own with the words
that were really heard; so does every tool call and what became of it. Nothing of a turn waits for this
(concurrency/write_queue.py).
"""

from __future__ import annotations

from collections.abc import Callable

from mythicd.character.environment import Surroundings, estimate_tokens
from mythicd.character.think.context import SPARE_TOKENS
from mythicd.concurrency.write_queue import Notebook
from mythicd.dialogue.history import History
from mythicd.engines.llm import Prompt
from mythicd.errors import MythicError
from mythicd.memory.records import Speaker, ToolRecord, Utterance
from mythicd.memory.store import Store
from mythicd.wire import messages as m

REMEMBERED = 24
"""Utterances from before the daemon's start that a history is made of."""
SEED_TOKENS = 160
"""Most tokens of history that a character keeps who has left view: a recap, and the last exchange if it is short."""


class Diary:
    """One character's own account of its conversations."""

    def __init__(
        self,
        npc_id: str,
        stage: Surroundings,
        store: Store,
        history: History,
        *,
        wall: Callable[[], float],
        on_error: Callable[[MythicError], None],
    ) -> None:
        """`on_error` is told of what could not be written down."""
        self._npc_id = npc_id
        self._stage = stage
        self._store = store
        self._history = history
        self._wall = wall
        self._notebook = Notebook(npc_id, on_error)

    def open(self) -> None:
        """Begin to write."""
        self._notebook.open()

    async def close(self) -> None:
        """Write what is left, and end."""
        await self._notebook.close()

    def player_said(self, turn_id: str, words: str, started_at: float, source: str) -> None:
        """The player's words: all of them were heard, also where the character was too busy to answer."""
        self._note(turn_id, Speaker("player", self._stage.scope.player), words, words, started_at, source)

    def said(self, turn_id: str, words: str, heard: str, started_at: float) -> None:
        """The character's words, and what was heard of them."""
        self._note(turn_id, Speaker("npc", self._npc_id), words, heard, started_at, "speech")

    def call(self, record: ToolRecord) -> None:
        """A tool call, or what became of it."""
        self._notebook.add(lambda: self._store.record_tool(self._stage.scope, record))

    async def remember(self) -> None:
        """Take up the conversation where it was before the daemon was last started. Raises StoreError."""
        words: dict[str, str] = {}
        for said in await self._store.recent_utterances(self._stage.scope, self._npc_id, REMEMBERED):
            if said.speaker.kind == "player":
                words[said.turn_id] = said.text
            elif said.speaker.id == self._npc_id:
                self._history.add(said.turn_id, words.get(said.turn_id, ""), said.text)

    def shorten_history(self, prompt: Prompt) -> None:
        """Keep the history short enough for a prompt like this one with everything that a turn may add to it."""
        settings = self._stage.settings
        budgets = settings.rag.budgets
        fixed = estimate_tokens(prompt.world + prompt.character)
        own = self._stage.card(self._npc_id).llm.max_tokens
        fixed += budgets.lore + budgets.recent + 2 * SPARE_TOKENS + budgets.scene
        fixed += settings.llm.max_tokens if own is None else own
        self._history.shorten(max(0, settings.kv.max_ctx_tokens - fixed), estimate_tokens)

    def compact_history(self) -> None:
        """Keep no more of the history than a character needs who has left view."""
        self._history.compact(SEED_TOKENS, estimate_tokens)

    def _note(self, turn_id: str, speaker: Speaker, text: str, heard: str, started_at: float, source: str) -> None:
        scene: m.SceneUpdate | None = self._stage.scene(self._npc_id)
        said = Utterance(
            self._npc_id,
            turn_id,
            speaker,
            text,
            started_at,
            self._stage.present(self._npc_id),
            heard_text=heard,
            ended_at=self._wall(),
            game_time=scene.time if scene is not None else "",
            zone=self._stage.zone(self._npc_id),
            source=source,
        )
        self._notebook.add(lambda: self._store.record_utterance(self._stage.scope, said))
