"""From the player's words to the words of the answer: what is remembered, what is asked of the model, what it wants.

intent -> memory -> prompt -> model -> words for the reply, calls for the game
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mythicd import messages as m
from mythicd import wire
from mythicd.actions import Actions
from mythicd.config import Settings
from mythicd.dialogue import intent as intents
from mythicd.dialogue import prompt, stock
from mythicd.dialogue.calls import Call
from mythicd.dialogue.casing import Names
from mythicd.dialogue.grounding import Grounding
from mythicd.dialogue.guardrails import Guardrails
from mythicd.dialogue.history import History
from mythicd.engines import (
    Asr,
    ChatMessage,
    Embedder,
    Finished,
    InlineCall,
    Llm,
    LlmEvent,
    LlmRequest,
    PrefillDone,
    Prompt,
    Sampling,
    TextDelta,
    Tts,
    Vad,
    VoiceSpec,
)
from mythicd.errors import MythicError, ToolRejected
from mythicd.memory.embedder import QueryVectors
from mythicd.memory.packing import Nearby, pack, within
from mythicd.memory.packing import Surroundings as Around
from mythicd.memory.query import build_query
from mythicd.memory.records import Scope
from mythicd.memory.retrieval import ScoredLine
from mythicd.memory.store import Store
from mythicd.reply import Reply
from mythicd.timeline import Mark, Timeline
from mythicd.worldfile import PersonaCard, Thing, ToolDefinition

CHARACTERS_A_TOKEN = 3.0
"""Cautious: English has 3.5–4.5 characters a token in the vocabularies of current models."""
MOST_RESULTS = 3
"""How often a reply may wait for a tool's result; a model that asks on and on is offered no more tools."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rooms:
    """The engines a character uses."""

    vad: Vad
    asr: Asr
    llm: Llm
    tts: Tts
    store: Store
    embedder: Embedder | None
    vectors: QueryVectors | None
    """The embedder's last answers: what was embedded while the player spoke is there when the turn begins."""


class Surroundings(Protocol):
    """What a character may ask of the playthrough it is in (world.Stage)."""

    scope: Scope

    @property
    def settings(self) -> Settings:
        """The daemon's settings."""

    @property
    def things(self) -> Mapping[str, Mapping[str, Thing]]:
        """What tools can be pointed at, by kind, then id."""

    @property
    def tools(self) -> Mapping[str, ToolDefinition]:
        """The world's tools."""

    @property
    def names(self) -> Names:
        """How the world's names are written."""

    def card(self, npc_id: str) -> PersonaCard:
        """A character's card, as it is now."""

    def voice(self, npc_id: str) -> VoiceSpec:
        """A character's voice."""

    def world_part(self) -> str:
        """The front of every prompt."""

    def zone(self, npc_id: str) -> str:
        """Where a character is."""

    def scene(self, npc_id: str) -> m.SceneUpdate | None:
        """What is around a character, if the game has said so."""

    def present(self, npc_id: str) -> tuple[str, ...]:
        """Who hears what is said to and by a character."""

    async def refresh(self) -> None:
        """Take in edited world files."""


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
    ) -> None:
        self._npc_id = npc_id
        self._stage = stage
        self._rooms = rooms
        self._history = history
        self._actions = actions
        self._send = send
        self._clock = clock
        self._wall = wall

    def resting_prompt(self) -> Prompt:
        """The prompt as it stands between turns: what the next turn will begin with."""
        card = self._stage.card(self._npc_id)
        persona = within(card.persona_lines(), self._stage.settings.rag.budgets.persona, estimate_tokens)
        character = prompt.character_part(card.name, card.archetype, card.manner, persona)
        return Prompt(self._stage.world_part(), character, self._history.messages)

    async def recall(self, turn_id: str, words: str, *, understood: bool, seed: int) -> Question:
        """Search memory for what the player said, and pack what fits."""
        if not understood:
            return Question(turn_id, words, False, seed, prompt.Sections(), {})
        stage, rag = self._stage, self._stage.settings.rag
        intent = intents.classify(words)
        channels = intents.channels(intent)
        zone = stage.zone(self._npc_id)
        query = build_query(words, previous=self._history.last_words, intent=intent, scene_tags=(zone,))
        # Without her memory she still answers: what failed is told, and the turn goes on with less.
        vectors, store = self._rooms.vectors, self._rooms.store
        vector = await self._or_else(None, turn_id, vectors.of(query.text)) if vectors is not None else None
        lore: list[ScoredLine] = []
        if channels.lore:
            lore = await self._or_else([], turn_id, store.search_lore(stage.scope, (zone,), query, vector, rag))
        recent: list[ScoredLine] = []
        if channels.recent:
            skip = (turn_id, *self._history.turn_ids)
            searched = store.search_utterances(
                stage.scope, self._npc_id, query, vector, rag, now=self._wall(), skip_turns=skip
            )
            recent = await self._or_else([], turn_id, searched)
        packed = pack(words, lore, recent, self._around(zone, channels.scene), rag.budgets, estimate_tokens)
        sections = prompt.Sections(packed.lore, (*self._actions.tell_failures(), *packed.recent), packed.scene)
        tools = {tool.name: tool for tool in intents.tools_for(intent, stage.tools)}
        return Question(turn_id, words, True, seed, sections, tools)

    async def _or_else(self, otherwise: T, turn_id: str, answer: Awaitable[T]) -> T:
        """Wait for an answer of memory; where it fails, tell the client and go on without."""
        try:
            return await answer
        except MythicError as error:
            self._send(wire.describe(error, npc_id=self._npc_id, turn_id=turn_id))
            return otherwise

    async def anticipate(self, words: str) -> None:
        """Embed what the player has said so far, so that the search at the end of the turn need not."""
        if self._rooms.vectors is not None:
            await self._rooms.vectors.of(build_query(words, previous=self._history.last_words).text)

    def guard(self, question: Question) -> Guardrails:
        """Return what the answer's phrases must pass."""
        settings = self._stage.settings
        card = self._stage.card(self._npc_id)
        grounding = None
        if settings.llm.grounded and question.understood:
            sections = question.sections
            told = [*sections.lore, *sections.recent, wire.plain_json(dict(sections.scene)), question.words]
            told += [card.name, card.archetype, *card.persona_lines()]
            told += [message.content for message in self._history.messages]
            grounding = Grounding(told)
        return Guardrails(card, question.seed, blocklist=settings.safety.blocklist, grounding=grounding)

    async def answer(self, question: Question, reply: Reply, timeline: Timeline) -> None:
        """Bring the answer's words to the reply: from the model or, where nothing was understood, from the card."""
        card = self._stage.card(self._npc_id)
        if not question.understood:
            await reply.write(stock.line(card, "say_again", question.seed))
            return
        built = self.resting_prompt()
        turn = prompt.turn_message(question.words, question.sections)
        built = Prompt(built.world, built.character, built.history, (turn,))
        llm = self._stage.settings.llm
        sampling = Sampling(
            temperature=llm.temperature if card.llm.temperature is None else card.llm.temperature,
            top_p=llm.top_p,
            repeat_penalty=llm.repeat_penalty,
            max_tokens=card.llm.max_tokens or llm.max_tokens,
            seed=question.seed,
        )
        tools = tuple(tool.spec() for tool in question.tools.values())
        for results in range(MOST_RESULTS + 1):
            offered = tools if results < MOST_RESULTS else ()
            request = LlmRequest(self._npc_id, question.turn_id, built, offered, sampling)
            async with contextlib.aclosing(self._rooms.llm.generate(request)) as events:
                waiting = await self._follow(question, reply, timeline, events)
            if waiting is None:
                return
            written, call = waiting
            reply.allow(call.timeout)
            done = await self._actions.result(call)
            told = {"status": done.state.value, "message": done.message, "result": dict(done.result)}
            more = (ChatMessage("assistant", written), ChatMessage("tool", wire.plain_json(told)))
            built = Prompt(built.world, built.character, built.history, (*built.turn, *more))

    async def _follow(
        self, question: Question, reply: Reply, timeline: Timeline, events: AsyncGenerator[LlmEvent, None]
    ) -> tuple[str, Call] | None:
        """Pass on what the model writes, until it is done or waits for a tool's result: then (its words, the call)."""
        written = ""
        async for event in events:
            match event:
                case PrefillDone():
                    timeline.mark(Mark.PREFILL_DONE, self._clock())
                case TextDelta(text=text):
                    timeline.mark(Mark.LLM_FIRST_TOKEN, self._clock())
                    written += text
                    await reply.write(text)
                case InlineCall(name=name, arguments=arguments):
                    call = self._call(question, name, arguments)
                    if call is not None:
                        await reply.act(call.call_id)
                        if question.tools[call.resolved.name].needs_result:
                            said = wire.plain_json({"name": name, "arguments": dict(arguments)})
                            return f"{written}<tool_call>{said}</tool_call>", call
                case Finished():
                    return None
        return None

    def _call(self, question: Question, name: str, arguments: Mapping[str, object]) -> Call | None:
        """Open a call; one that names nothing there is is told to the client and dropped."""
        stage = self._stage
        try:
            return self._actions.open(
                question.turn_id, name, arguments, question.tools, stage.things, stage.scope.player
            )
        except ToolRejected as error:
            self._send(wire.describe(error, npc_id=self._npc_id, turn_id=question.turn_id))
            return None

    def _around(self, zone: str, wanted: bool) -> Around:
        """Return what is around the character, as the prompt's scene is made of it."""
        scene = self._stage.scene(self._npc_id) if wanted else None
        place = zone.replace("_", " ")
        if scene is None:
            return Around(zone=place)
        nearby = [Nearby(thing.name or thing.id.replace("_", " "), thing.dist) for thing in scene.objects]
        return Around(zone=place, time=scene.time, nearby=nearby)


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens a text has, rather too many than too few."""
    return int(len(text) / CHARACTERS_A_TOKEN) + 1
