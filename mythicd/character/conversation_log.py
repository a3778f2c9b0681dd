"""The conversation log: saves one character's dialogue, and restores its history when the daemon starts.

Every utterance goes into the memory database with who heard it, the character's own with the words that were really
heard; so does every tool call with its outcome. No turn waits for these writes (concurrency/write_queue.py).
"""

from __future__ import annotations

from mythicd.character.environment import CharacterContext
from mythicd.character.think.context import SPARE_TOKENS
from mythicd.concurrency.write_queue import WriteQueue
from mythicd.dialogue.history import History
from mythicd.engines.llm import Prompt
from mythicd.memory.records import Speaker, ToolRecord, Utterance
from mythicd.text.token_estimate import estimate_tokens
from mythicd.wire import messages as m

REMEMBERED = 24
"""Utterances from before the daemon's start that a history is made of."""
SEED_TOKENS = 160
"""Most tokens of history that a character keeps who has left view: a recap, and the last exchange if it is short."""


class ConversationLog:
    """One character's log, and the short history that stands in its prompt."""

    def __init__(self, context: CharacterContext, history: History) -> None:
        self._context = context
        self._environment = context.environment
        self._store = context.engines.store
        self._history = history
        self._writes = WriteQueue(context.npc_id, context.send_error)

    def open(self) -> None:
        """Begin to write."""
        self._writes.open()

    async def close(self) -> None:
        """Write what is left, and end."""
        await self._writes.close()

    def log_player(self, turn_id: str, words: str, started_at: float, source: str) -> None:
        """The player's words: all of them were heard, also where the character was too busy to answer."""
        self._log_utterance(
            turn_id, Speaker("player", self._environment.scope.player), words, words, started_at, source
        )

    def log_reply(self, turn_id: str, words: str, heard: str, started_at: float) -> None:
        """The character's words, and what was heard of them."""
        self._log_utterance(turn_id, Speaker("npc", self._context.npc_id), words, heard, started_at, "speech")

    def log_call(self, record: ToolRecord) -> None:
        """A tool call, or what became of it."""
        self._writes.add(lambda: self._store.record_tool(self._environment.scope, record))

    async def restore_history(self) -> None:
        """Take up the conversation where it was before the daemon was last started. Raises StoreError."""
        words: dict[str, str] = {}
        for said in await self._store.recent_utterances(self._environment.scope, self._context.npc_id, REMEMBERED):
            if said.speaker.kind == "player":
                words[said.turn_id] = said.text
            elif said.speaker.id == self._context.npc_id:
                self._history.add(said.turn_id, words.get(said.turn_id, ""), said.text)

    def shorten_history(self, prompt: Prompt) -> None:
        """Keep the history short enough for a prompt like this one with everything that a turn may add to it."""
        settings = self._context.settings
        budgets = settings.rag.budgets
        fixed = estimate_tokens(prompt.world + prompt.character)
        own = self._context.card.llm.max_tokens
        fixed += budgets.lore + budgets.recent + 2 * SPARE_TOKENS + budgets.scene
        fixed += settings.llm.max_tokens if own is None else own
        self._history.shorten(max(0, settings.kv.max_ctx_tokens - fixed), estimate_tokens)

    def compact_history(self) -> None:
        """Keep no more of the history than a character needs who has left view."""
        self._history.compact(SEED_TOKENS, estimate_tokens)

    def _log_utterance(
        self, turn_id: str, speaker: Speaker, text: str, heard: str, started_at: float, source: str
    ) -> None:
        scene: m.SceneUpdate | None = self._environment.scene(self._context.npc_id)
        said = Utterance(
            self._context.npc_id,
            turn_id,
            speaker,
            text,
            started_at,
            self._environment.present(self._context.npc_id),
            heard_text=heard,
            ended_at=self._context.wall(),
            game_time=scene.time if scene is not None else "",
            zone=self._environment.zone(self._context.npc_id),
            source=source,
        )
        self._writes.add(lambda: self._store.record_utterance(self._environment.scope, said))
