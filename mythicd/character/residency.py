"""How near a character is to the player, and what of it the model keeps hot for that.

    comes into view   warm: its front is evaluated, so that even the first contact is answered at once
    after each turn   warm: what was said and heard takes the place of the turn's own block
    goes out of view  seed: its history is cut down to a short recap, evaluated, and parked in host memory

All of this is idle time's work: a turn that begins stops it. The model is told what matters more: a character that is
seen before one that is not, and before all, the one that the player speaks to and that owes an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mythicd.character.environment import Rooms
from mythicd.character.think.prefetch import LookAhead
from mythicd.concurrency.background_task import SideWork
from mythicd.dialogue.state import State
from mythicd.engines.llm import Focus, Prompt

FORGET_S = 2.0
"""How long the model may take to let go of a character that leaves."""
_ADDRESSED = frozenset((State.LISTENING, State.PAUSING, State.DUCKED, State.BARGE_IN, State.THINKING))
"""The player speaks to it, or waits for its answer."""


class Presence:
    """One character's place in the player's attention."""

    def __init__(
        self,
        npc_id: str,
        llm_id: str,
        rooms: Rooms,
        ahead: LookAhead,
        *,
        resting_prompt: Callable[[], Prompt],
        compact: Callable[[], None],
        quiet: Callable[[], Awaitable[None]],
        rehearse: Callable[[], Awaitable[None]],
    ) -> None:
        """`compact` cuts the history down to what is kept out of view; `quiet` waits until no turn of this character
        is with the model any more; `rehearse` renders the small sounds it may have to make."""
        self._llm_id = llm_id
        self._rooms = rooms
        self._ahead = ahead
        self._resting_prompt = resting_prompt
        self._compact = compact
        self._quiet = quiet
        self._rehearse = rehearse
        self._side = SideWork(f"{npc_id} warms up")
        self._near = False
        self._gone = False
        """Whether it has left view, and is to be parked."""
        self._focus: Focus | None = None

    def address(self) -> None:
        """It is spoken to: so it is there, whatever was said of it."""
        self._near, self._gone = True, False

    def come(self, state: State) -> None:
        """It is in view, or about to hear."""
        self.address()
        self.follow(state)
        if state in (State.IDLE, State.LISTENING):
            self.rest()

    def go(self, state: State) -> None:
        """It is out of view. A turn that is under way is finished first."""
        self._gone = self._gone or self._near
        self._near = False
        self.follow(state)
        if self._gone and state is State.IDLE:
            self.rest()

    def follow(self, state: State) -> None:
        """Tell the model how much the character matters in this state."""
        focus = Focus(on_screen=self._near, mic=state in _ADDRESSED)
        if focus != self._focus:
            self._focus = focus
            self._rooms.llm.focus(self._llm_id, focus)

    def rest(self) -> None:
        """No turn is under way: have the model hold what the next one will begin with."""
        if self._gone:
            self._gone = False
            self._compact()
            self._side.instead(self._leave)
        else:
            self._side.instead(self._warm)

    async def pause(self) -> None:
        """A turn needs the model."""
        await self._side.stop()

    async def close(self) -> None:
        """It is here no more: give back what the model holds for it."""
        self._side.instead(self._forget)
        await self._side.finish(FORGET_S)

    async def _warm(self) -> None:
        await self._attend()
        await self._remember()
        await self._rehearse()

    async def _leave(self) -> None:
        await self._attend()
        await self._rooms.llm.park(self._llm_id)
        await self._remember()

    async def _attend(self) -> None:
        await self._quiet()
        await self._ahead.undo()
        await self._rooms.llm.attend(self._llm_id, self._resting_prompt())

    async def _remember(self) -> None:
        if self._rooms.embedder is not None:
            await self._rooms.store.embed_heard(self._rooms.embedder)

    async def _forget(self) -> None:
        await self._rooms.llm.forget(self._llm_id)
