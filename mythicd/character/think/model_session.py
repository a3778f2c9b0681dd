"""One character's use of the language model: its prompt, and the calls that may not meet.

    upkeep    between turns: the resting prompt is evaluated, parked or forgotten
    prefill   while the player speaks: the turn so far is evaluated
    generate  a reply is written

A turn stops upkeep; a newer prefill replaces an older one; all wait until cancelled replies have left the model.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace

from mythicd.character.environment import CharacterContext
from mythicd.concurrency.background_task import BackgroundTask
from mythicd.dialogue import prompt
from mythicd.dialogue.history import History
from mythicd.engines.llm import Focus, LlmEvent, LlmRequest, Prompt, Reading
from mythicd.memory.packing import within
from mythicd.text.token_estimate import estimate_tokens

FORGET_S = 2.0
"""How long the model may take to release a character that leaves."""
END_PATIENCE_S = 2.0
"""How long a cancelled reply may take to leave the model; an engine's thread looks at its next step."""


class ModelSession:
    """The model, as one character uses it."""

    def __init__(self, context: CharacterContext, history: History) -> None:
        self._context = context
        self._llm = context.engines.llm
        self._llm_id = context.llm_id
        self._history = history
        self._upkeep = BackgroundTask(f"{context.npc_id} model upkeep")
        self._prefill = BackgroundTask(f"{context.npc_id} prefill")
        self._replies: set[asyncio.Future[None]] = set()
        """One for each reply that has not left the model yet."""
        self._is_stale = False
        """Whether a prefill is to be rolled back before the next upkeep."""
        self._focus: Focus | None = None

    # --- the prompt --------------------------------------------------------------------------------------------------

    def resting_prompt(self) -> Prompt:
        """Return the prompt as it stands between turns: what the next turn begins with."""
        context = self._context
        card = context.card
        persona = within(card.persona_lines(), context.settings.rag.budgets.persona, estimate_tokens)
        character = prompt.character_part(card.name, card.archetype, card.manner, persona)
        return Prompt(context.world.world_prompt(), character, self._history.messages, adapter=card.llm.lora)

    def turn_prompt(self, words: str, sections: prompt.Sections) -> Prompt:
        """Return the prompt of a turn with these words."""
        return replace(self.resting_prompt(), turn=(prompt.turn_message(words, sections),))

    # --- between turns -----------------------------------------------------------------------------------------------

    def set_focus(self, focus: Focus) -> None:
        """Tell the model how much the character matters now."""
        if focus != self._focus:
            self._focus = focus
            self._llm.focus(self._llm_id, focus)

    def run_upkeep(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this in the background, in place of earlier upkeep, until a turn needs the model."""
        self._upkeep.replace(work)

    async def stop_upkeep(self) -> None:
        """Cancel upkeep, and return when it has ended: a turn needs the model."""
        await self._upkeep.stop()

    async def warm(self) -> None:
        """Evaluate the resting prompt. Part of upkeep."""
        await self._until_replies_left()
        if self._is_stale:
            await self._prefill.stop()
            self._is_stale = False
            await self._llm.rollback(self._llm_id)
        await self._llm.attend(self._llm_id, self.resting_prompt())

    async def park(self) -> None:
        """Move what the model holds of the character to host memory. Part of upkeep."""
        await self._llm.park(self._llm_id)

    async def close(self) -> None:
        """Stop all calls, and release what the model holds of the character."""
        await self._prefill.stop()
        self._upkeep.replace(self._forget)
        await self._upkeep.finish(FORGET_S)

    async def _forget(self) -> None:
        await self._llm.forget(self._llm_id)

    # --- a turn ------------------------------------------------------------------------------------------------------

    @property
    def can_prefill(self) -> bool:
        """Whether evaluating a turn ahead is worth anything with this engine."""
        return self._llm.abilities.prepares

    @property
    def places_calls(self) -> bool:
        """Whether a tool call comes at its place in the text."""
        return self._llm.abilities.places_calls

    def prefill(
        self, words: str, sections: prompt.Sections, is_wanted: Callable[[], bool], on_begin: Callable[[], Reading]
    ) -> None:
        """Evaluate a turn of which more is to come, in place of an earlier prefill.

        When the model is free, `is_wanted` is asked whether it still has a point; then `on_begin` returns what the
        engine is to write its progress into.
        """

        async def work() -> None:
            await self.stop_upkeep()
            await self._until_replies_left()
            if is_wanted():
                await self._llm.prepare(self._llm_id, self.turn_prompt(words, sections), on_begin())

        self._prefill.replace(work)

    def discard_prefill(self) -> None:
        """Roll back what was evaluated ahead, before the next upkeep: no reply of the model's follows it."""
        self._is_stale = True

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply. Closing the generator cancels it. Raises what the engine raises (engines.llm.Llm)."""
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._replies.add(left)
        try:
            async with contextlib.aclosing(self._llm.generate(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._replies.discard(left)
            left.set_result(None)

    async def _until_replies_left(self) -> None:
        """Wait until earlier replies have left the model, which may take a moment after they were cancelled."""
        if self._replies:
            await asyncio.wait(tuple(self._replies), timeout=END_PATIENCE_S)
