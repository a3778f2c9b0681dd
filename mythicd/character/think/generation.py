"""Reply generation: prompt context, request to the model, and its stream of words and tool calls.

memory -> prompt -> model -> words for the speech output, calls for the game
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from mythicd.character.environment import CharacterContext
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.character.think.context import ContextBuilder, TurnContext
from mythicd.character.think.model_session import ModelSession
from mythicd.character.think.reply_input import ReplyInput
from mythicd.character.turn import Response, Turn
from mythicd.config.settings import LlmSettings
from mythicd.config.world_files import SamplingOverride
from mythicd.dialogue import canned_lines
from mythicd.dialogue.cleaning.cleaner import ReplyCleaner
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
    Sampling,
    TextDelta,
)
from mythicd.errors import MythicError, ToolRejected
from mythicd.telemetry.timeline import Mark
from mythicd.text.english.stage_directions import is_direction_of
from mythicd.wire import codec

PREPARED_TOKENS = 24
"""How far the model writes a response before it is committed: about a second of speech, and its next phrase."""
MOST_RESULTS = 3
"""How often a reply may wait for a tool's result; a model that asks again and again is offered no more tools."""


class ReplyGenerator:
    """Generates one character's replies."""

    def __init__(
        self,
        context: CharacterContext,
        session: ModelSession,
        builder: ContextBuilder,
        tools: ToolDispatch,
        history: History,
    ) -> None:
        self._context = context
        self._session = session
        self._builder = builder
        self._tools = tools
        self._history = history

    async def build_input(self, turn: Turn, response: Response, *, understood: bool, ahead: TurnContext | None) -> None:
        """Search memory for the response's words, and set its input.

        `ahead` is what was found while they were being said: what of it was evaluated stays, and what the words call
        for beyond it comes after it. A part of memory that fails is reported with the response; the reply does without.
        """
        assert response.words is not None, "they were recognised, or given"
        if not understood:
            response.input = ReplyInput(turn.turn_id, response.words, False, turn.number)
            return
        errors: list[MythicError] = []
        found = await self._builder.search(response.words, turn.turn_id, errors=errors)
        for error in errors:
            response.gate.send(self._context.describe(error, turn.turn_id))
        found = found if ahead is None else ahead.joined(found)
        response.input = ReplyInput(
            turn.turn_id, response.words, True, turn.number, found.sections, found.tools, found.failures
        )

    def guardrails(self, given: ReplyInput) -> Guardrails:
        """Return the checks that the reply's phrases must pass."""
        settings, card = self._context.settings, self._context.card
        grounding = None
        if settings.llm.grounded and given.understood:
            sections = given.sections
            told = [*sections.lore, *sections.recent, codec.plain_json(dict(sections.scene)), given.words]
            told += [card.name, card.archetype, *card.persona_lines()]
            told += [message.content for message in self._history.messages]
            grounding = Grounding(told)
        return Guardrails(
            card,
            given.seed,
            blocklist=settings.safety.blocklist,
            grounding=grounding,
            is_artificial=settings.safety.artificial_characters,
        )

    def cleaner(self) -> ReplyCleaner:
        """Return what finds the words in a reply of this character."""
        world = self._context.world
        return ReplyCleaner(self._context.card.name, world.people, world.tools)

    def open_emote(self, turn_id: str, direction: str) -> str | None:
        """Open the call that plays a stage direction such as "nods"; return its id, or None where no emote fits."""
        world = self._context.world
        for tool in world.tools.values():
            kinds = {word: argument.kind for word, argument in tool.words.items()}
            if list(kinds.values()) != ["emotes"] or tool.needs_result:
                continue
            for emote in world.things.get("emotes", {}).values():
                if is_direction_of(direction, emote.name):
                    arguments = {next(iter(kinds)): emote.name}
                    try:
                        call, is_new = self._tools.open(turn_id, tool.name, arguments, {tool.name: tool})
                        return call.call_id if is_new else None
                    except ToolRejected:
                        return None
        return None

    async def write(self, response: Response) -> None:
        """Bring the reply's words to its output: from the model or, where nothing was understood, from the card."""
        given, output = response.input, response.output
        assert given is not None and output is not None, "a reply is written after its input is known"
        settings, card = self._context.settings, self._context.card
        if not given.understood:
            await output.write(canned_lines.line(card, "say_again", given.seed))
            return
        built = self._session.turn_prompt(given.words, given.sections)
        sampling = _sampling(card.llm, settings.llm, given.seed)
        tools = tuple(tool.spec() for tool in given.tools.values())
        for waits in range(MOST_RESULTS + 1):
            request = LlmRequest(
                self._context.llm_id,
                given.turn_id,
                built,
                tools if waits < MOST_RESULTS else (),
                sampling,
                patience_s=settings.scheduler.patience_s,
                ahead_tokens=0 if response.gate.is_committed else PREPARED_TOKENS,
            )
            async with contextlib.aclosing(self._session.generate(request)) as events:
                waiting = await self._stream(response, given, events)
            if waiting is None:
                return
            written, calls = waiting
            output.allow(max(call.timeout for call in calls))
            results = await asyncio.gather(*map(self._tools.result, calls))
            more = (ChatMessage("assistant", written), *map(_result_message, results))
            built = replace(built, turn=(*built.turn, *more))

    async def _stream(
        self, response: Response, given: ReplyInput, events: AsyncGenerator[LlmEvent, None]
    ) -> tuple[str, list[Call]] | None:
        """Pass on what the model writes, until it is done or waits for results of tools: then (its words, the calls).

        A model that places its calls is left at the first such call, and goes on when it knows the result. Of others
        all calls come after the words, made at once: none of them comes again, so each is opened.
        """
        output, clock = response.output, self._context.clock
        assert output is not None, "a reply is written after its output is there"
        written = ""
        waiting: list[Call] = []
        async for event in events:
            match event:
                case PrefillDone():
                    response.timeline.mark(Mark.PREFILL_DONE, clock())
                case TextDelta(text=text):
                    response.timeline.mark(Mark.LLM_FIRST_TOKEN, clock())
                    written += text
                    await output.write(text)
                case InlineCall(name=name, arguments=arguments):
                    opened = self._open_call(response, given, name, arguments)
                    if opened is not None:
                        call, is_new = opened
                        if is_new:
                            await output.place_call(call.call_id)
                        if given.tools[call.resolved.name].needs_result:
                            said = codec.plain_json({"name": name, "arguments": dict(arguments)})
                            written += f"<tool_call>{said}</tool_call>"
                            waiting.append(call)
                            if self._session.places_calls:
                                break
                case Finished():
                    break
        return (written, waiting) if waiting else None

    def _open_call(
        self, response: Response, given: ReplyInput, name: str, arguments: Mapping[str, object]
    ) -> tuple[Call, bool] | None:
        """Open a call, or find the one that it repeats: (the call, whether it is new).

        One that names nothing that exists is reported to the client and dropped.
        """
        try:
            return self._tools.open(given.turn_id, name, arguments, given.tools)
        except ToolRejected as error:
            response.gate.send(self._context.describe(error, given.turn_id))
            return None


def _result_message(done: Call) -> ChatMessage:
    """Return the message that tells the model of a call that is over."""
    told = {"status": done.state.value, "message": done.message, "result": dict(done.result)}
    return ChatMessage("tool", codec.plain_json(told))


def _sampling(own: SamplingOverride, common: LlmSettings, seed: int) -> Sampling:
    """Return the settings for all characters with what the card overrides; `seed` is the turn's."""
    return Sampling(
        temperature=common.temperature if own.temperature is None else own.temperature,
        top_p=common.top_p if own.top_p is None else own.top_p,
        repeat_penalty=common.repeat_penalty if own.repeat_penalty is None else own.repeat_penalty,
        max_tokens=common.max_tokens if own.max_tokens is None else own.max_tokens,
        seed=seed if own.seed is None else own.seed,
        stop=own.stop,
    )
