"""KV residency: which of a character's prompt the model keeps ready, by how near the character is to the player.

    comes into view   its resting prompt is evaluated, so that even the first contact is answered at once
    after each turn   the same: what was said and heard takes the place of the turn's own block
    leaves view       its history is cut down to a short summary, evaluated, and parked in host memory

All of this is upkeep, which a turn stops. The model is told what matters more: characters in view before others, and
before all the one that the player speaks to.
"""

from __future__ import annotations

from mythicd.character.conversation_log import ConversationLog
from mythicd.character.environment import CharacterContext
from mythicd.character.fillers import Fillers
from mythicd.character.think.model_session import ModelSession
from mythicd.dialogue.state import State
from mythicd.engines.llm import Focus

_ADDRESSED = frozenset((State.LISTENING, State.PAUSING, State.DUCKED, State.BARGE_IN, State.THINKING))
"""States in which the player speaks to the character, or waits for its reply."""


class Residency:
    """One character's place in the player's attention."""

    def __init__(
        self, context: CharacterContext, session: ModelSession, conversation: ConversationLog, fillers: Fillers
    ) -> None:
        self._engines = context.engines
        self._session = session
        self._conversation = conversation
        self._fillers = fillers
        self._in_view = False
        self._has_left = False
        """Whether it has left view and is to be parked."""

    def address(self) -> None:
        """The player speaks to it, so it is in view, whatever the game said."""
        self._in_view, self._has_left = True, False

    def enter_view(self, state: State) -> None:
        """It is in view, or about to hear."""
        self.address()
        self.update_focus(state)
        if state in (State.IDLE, State.LISTENING):
            self.start_upkeep()

    def leave_view(self, state: State) -> None:
        """It is out of view. A turn under way is finished first."""
        self._has_left = self._has_left or self._in_view
        self._in_view = False
        self.update_focus(state)
        if self._has_left and state is State.IDLE:
            self.start_upkeep()

    def update_focus(self, state: State) -> None:
        """Tell the model how much the character matters in this state."""
        self._session.set_focus(Focus(on_screen=self._in_view, mic=state in _ADDRESSED))

    def start_upkeep(self) -> None:
        """No turn is under way: have the model hold what the next one begins with."""
        if self._has_left:
            self._has_left = False
            self._conversation.compact_history()
            self._session.run_upkeep(self._park)
        else:
            self._session.run_upkeep(self._warm)

    async def _warm(self) -> None:
        await self._session.warm()
        await self._embed_heard()
        await self._fillers.render()

    async def _park(self) -> None:
        await self._session.warm()
        await self._session.park()
        await self._embed_heard()

    async def _embed_heard(self) -> None:
        if self._engines.embedder is not None:
            await self._engines.store.embed_heard(self._engines.embedder)
