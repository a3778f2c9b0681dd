"""From the player's words to the words of the answer: what is asked of the model, and what it wants.

recollection -> prompt -> model -> words for the reply, calls for the game
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace

from mythicd.character.environment import Rooms, Surroundings, estimate_tokens
from mythicd.character.speak.commit_gate import Commitment
from mythicd.character.speak.speech_output import Reply
from mythicd.character.speak.tool_dispatch import Actions
from mythicd.character.think.context import Found, Recollection
from mythicd.config.settings import LlmSettings
from mythicd.config.world_files import SamplingOverride, ToolDefinition
from mythicd.dialogue import canned_lines, prompt
from mythicd.dialogue.grounding import Grounding
from mythicd.dialogue.guardrails import Guardrails
from mythicd.dialogue.history import History
from mythicd.dialogue.tool_calls import Call
from mythicd.engines.llm import (
    ChatMessage,
    Finished,
    InlineCall,
    LlmEvent,
    LlmRequest,
    PrefillDone,
    Prompt,
    Sampling,
    TextDelta,
)
from mythicd.errors import MythicError, ToolRejected
from mythicd.memory.packing import within
from mythicd.telemetry.timeline import Mark, Timeline
from mythicd.wire import codec
from mythicd.wire import messages as m

PREPARED_TOKENS = 24
"""How far the model writes an answer that does not count yet: about a second of speech, and its next phrase."""
MOST_RESULTS = 3
"""How often a reply may wait for a tool's result; a model that asks on and on is offered no more tools."""


@dataclass(slots=True)
class Question:
    """What the player said, and what was found for it."""

    turn_id: str
    words: str
    understood: bool
    seed: int
    sections: prompt.Sections
    tools: Mapping[str, ToolDefinition]
    """Those offered for this turn."""
    failures: tuple[str, ...] = ()
    """Lines of the sections that tell of tool calls that failed."""


class Thought:
    """How one character comes to its answers."""

    def __init__(
        self,
        npc_id: str,
        stage: Surroundings,
        rooms: Rooms,
        history: History,
        actions: Actions,
        *,
        send: Callable[[m.ServerMessage], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
        llm_id: str = "",
    ) -> None:
        """`llm_id` is what the model knows the character by; its npc id when empty."""
        self._npc_id = npc_id
        self._llm_id = llm_id or npc_id
        self._stage = stage
        self._rooms = rooms
        self._history = history
        self._actions = actions
        self._send = send
        self._clock = clock
        self._memory = Recollection(npc_id, stage, rooms, history, failures=lambda: actions.untold_failures, wall=wall)

    def resting_prompt(self) -> Prompt:
        """The prompt as it stands between turns: what the next turn will begin with."""
        card = self._stage.card(self._npc_id)
        persona = within(card.persona_lines(), self._stage.settings.rag.budgets.persona, estimate_tokens)
        character = prompt.character_part(card.name, card.archetype, card.manner, persona)
        return Prompt(self._stage.world_part(), character, self._history.messages, adapter=card.llm.lora)

    def turn_prompt(self, words: str, sections: prompt.Sections) -> Prompt:
        """The prompt of a turn with these words."""
        return replace(self.resting_prompt(), turn=(prompt.turn_message(words, sections),))

    async def anticipate(self, words: str) -> None:
        """Embed what the player has said so far, so that the search at the end of the turn need not."""
        await self._memory.embed(words)

    async def glance(self, turn_id: str, words: str) -> Found:
        """Search memory for what the player has said so far, without a trace. Raises what memory raises."""
        return await self._memory.search(words, turn_id)

    async def recall(
        self,
        turn_id: str,
        words: str,
        *,
        understood: bool,
        seed: int,
        ahead: Found | None = None,
        commitment: Commitment | None = None,
    ) -> Question:
        """Search memory for what the player said. `ahead` is what was found while it was being said: what of it was
        read stays, and what the words call for beyond it comes behind. What goes wrong is told with the answer's
        commitment."""
        if not understood:
            return Question(turn_id, words, False, seed, prompt.Sections(), {})
        # Without her memory she still answers: what failed is told, and the turn goes on with less.
        found = await self._memory.search(words, turn_id, missed=lambda error: self._tell(error, turn_id, commitment))
        found = found if ahead is None else ahead.joined(found)
        return Question(turn_id, words, True, seed, found.sections, found.tools, found.failures)

    def guard(self, question: Question) -> Guardrails:
        """Return what the answer's phrases must pass."""
        settings = self._stage.settings
        card = self._stage.card(self._npc_id)
        grounding = None
        if settings.llm.grounded and question.understood:
            sections = question.sections
            told = [*sections.lore, *sections.recent, codec.plain_json(dict(sections.scene)), question.words]
            told += [card.name, card.archetype, *card.persona_lines()]
            told += [message.content for message in self._history.messages]
            grounding = Grounding(told)
        return Guardrails(card, question.seed, blocklist=settings.safety.blocklist, grounding=grounding)

    async def answer(self, question: Question, reply: Reply, timeline: Timeline, commitment: Commitment) -> None:
        """Bring the answer's words to the reply: from the model or, where nothing was understood, from the card."""
        card = self._stage.card(self._npc_id)
        if not question.understood:
            await reply.write(canned_lines.line(card, "say_again", question.seed))
            return
        built = self.turn_prompt(question.words, question.sections)
        settings = self._stage.settings
        sampling = _sampling(card.llm, settings.llm, question.seed)
        tools = tuple(tool.spec() for tool in question.tools.values())
        for waits in range(MOST_RESULTS + 1):
            offered = tools if waits < MOST_RESULTS else ()
            request = LlmRequest(
                self._llm_id,
                question.turn_id,
                built,
                offered,
                sampling,
                patience_s=settings.scheduler.patience_s,
                ahead_tokens=0 if commitment.is_committed else PREPARED_TOKENS,
            )
            async with contextlib.aclosing(self._rooms.llm.generate(request)) as events:
                waiting = await self._follow(question, reply, timeline, commitment, events)
            if waiting is None:
                return
            written, calls = waiting
            reply.allow(max(call.timeout for call in calls))
            results = await asyncio.gather(*map(self._actions.result, calls))
            more = (ChatMessage("assistant", written), *map(_told, results))
            built = replace(built, turn=(*built.turn, *more))

    async def _follow(
        self,
        question: Question,
        reply: Reply,
        timeline: Timeline,
        commitment: Commitment,
        events: AsyncGenerator[LlmEvent, None],
    ) -> tuple[str, list[Call]] | None:
        """Pass on what the model writes, until it is done or waits for results of tools: then (its words, the calls).

        A model that places its calls is left at the first such call, and goes on when it knows the result. Of others
        all calls come behind the words, made at once: none of them comes again, so each is opened.
        """
        written = ""
        waiting: list[Call] = []
        async for event in events:
            match event:
                case PrefillDone():
                    timeline.mark(Mark.PREFILL_DONE, self._clock())
                case TextDelta(text=text):
                    timeline.mark(Mark.LLM_FIRST_TOKEN, self._clock())
                    written += text
                    await reply.write(text)
                case InlineCall(name=name, arguments=arguments):
                    call = self._call(question, name, arguments, commitment)
                    if call is not None:
                        await reply.act(call.call_id)
                        if question.tools[call.resolved.name].needs_result:
                            said = codec.plain_json({"name": name, "arguments": dict(arguments)})
                            written += f"<tool_call>{said}</tool_call>"
                            waiting.append(call)
                            if self._rooms.llm.abilities.places_calls:
                                break
                case Finished():
                    break
        return (written, waiting) if waiting else None

    def _call(
        self, question: Question, name: str, arguments: Mapping[str, object], commitment: Commitment
    ) -> Call | None:
        """Open a call; one that names nothing there is is told to the client and dropped."""
        stage = self._stage
        try:
            return self._actions.open(
                question.turn_id, name, arguments, question.tools, stage.things, stage.scope.player
            )
        except ToolRejected as error:
            self._tell(error, question.turn_id, commitment)
            return None

    def _tell(self, error: MythicError, turn_id: str, commitment: Commitment | None) -> None:
        send = self._send if commitment is None else commitment.send
        send(codec.describe(error, npc_id=self._npc_id, turn_id=turn_id))


def _told(done: Call) -> ChatMessage:
    """Return what the model is told of a call that is over."""
    told = {"status": done.state.value, "message": done.message, "result": dict(done.result)}
    return ChatMessage("tool", codec.plain_json(told))


def _sampling(own: SamplingOverride, common: LlmSettings, seed: int) -> Sampling:
    """Join what a card says with what holds for everybody; `seed` is the turn's."""
    return Sampling(
        temperature=common.temperature if own.temperature is None else own.temperature,
        top_p=common.top_p if own.top_p is None else own.top_p,
        repeat_penalty=common.repeat_penalty if own.repeat_penalty is None else own.repeat_penalty,
        max_tokens=common.max_tokens if own.max_tokens is None else own.max_tokens,
        seed=seed if own.seed is None else own.seed,
        stop=own.stop,
    )
