"""The store: the memory of all characters in one SQLite file, used by one thread.

All methods are async and hand their SQL to that thread in the order of the calls, so the event loop never waits for a
disk. At most MAX_PENDING calls are pending; others wait. Embedding takes a hundred times longer than a search, so a
turn's caller brings the vector (`QueryVectors`); only `sync_lore` and `embed_heard`, in idle time, call an embedder, a
few lines at a time, so that a turn's question does not wait for a whole world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.config.settings import RagSettings
from mythicd.config.world_files import World
from mythicd.engines.embedder import Embedder
from mythicd.errors import StoreError
from mythicd.memory import lore, utterances, vectors
from mythicd.memory.database import complaints, open_database
from mythicd.memory.query import Query
from mythicd.memory.ranking import ScoredLine, rank
from mythicd.memory.records import Heard, Scope, SyncCounts, ToolRecord, Utterance
from mythicd.memory.vectors import Vector

MAX_PENDING = 64
"""Most calls that are queued for the thread or run on it."""

EMBED_BATCH = 8
"""Lines embedded in one call, in idle time; a question that comes meanwhile waits up to 0.1 s."""

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """The memory database."""

    def __init__(self, path: Path) -> None:
        """`path` is the file, normally `<data>/memory.db`; `open` opens it."""
        self._path = path
        self._worker = WorkerThread("memory")
        self._db: apsw.Connection | None = None
        self._room = asyncio.Semaphore(MAX_PENDING)
        self._embedding = asyncio.Lock()

    async def open(self) -> None:
        """Open the file, creating or migrating it. Raises StoreError; the file is then left as it was."""
        self._db = await self._worker.call(open_database, self._path)

    async def close(self) -> None:
        """Finish the pending calls, close the file, and end the thread. The store cannot be opened again."""
        db, self._db = self._db, None
        if db is not None:
            await self._worker.call(db.close)
        await self._worker.close()

    # --- lore ---

    async def sync_lore(
        self, scope: Scope, world: World, rag: RagSettings, embedder: Embedder | None = None
    ) -> SyncCounts:
        """Make the stored lore equal to the world's; only changed entries are cut and embedded again.

        `embedder` must be started; without one, lines keep their vectors, and new lines are found by words alone. After
        a cancellation the next call continues. Raises StoreError, EngineError.
        """
        count, changed, removed = await self._call(lore.sync, scope.game, scope.world, world.lore, rag)
        embedded = await self._call(vectors.borrow_lore, scope.game, scope.world) if changed else 0
        if embedder is not None:
            async with self._embedding:
                await self._call(vectors.use_source, embedder.name, embedder.dimensions)
                while rows := await self._call(vectors.lore_to_embed, scope.game, scope.world, EMBED_BATCH):
                    found = await embedder.embed([text for _, text in rows])
                    embedded += await self._call(vectors.add_lore, rows, found)
        return SyncCounts(entries=len(world.lore), chunks=count, changed=changed, removed=removed, embedded=embedded)

    async def search_lore(
        self, scope: Scope, zones: Sequence[str], query: Query, vector: Vector | None, rag: RagSettings
    ) -> list[ScoredLine]:
        """Return the lore that answers the question, best first.

        The search covers these zones and the lore of the whole world. `vector` is that of `query.text`; with None, or a
        vector of another embedder than that of the last sync, words alone decide.
        """
        found = await self._call(lore.candidates, scope, zones, query, vector, rag)
        return rank(query, found, rag.topk_final)

    # --- what was said ---

    async def record_utterance(self, scope: Scope, utterance: Utterance) -> int:
        """Record an utterance and its hearers; return its id. It is remembered once it has been heard."""
        return await self._call(utterances.add_utterance, scope, utterance)

    async def mark_heard(
        self, utterance_id: int, heard_text: str, ended_at: float, present: Collection[str] | None = None
    ) -> None:
        """Set the words of an utterance that were played, possibly none; `present`, if given, replaces its hearers.

        Raises StoreError for an unknown utterance.
        """
        await self._call(utterances.mark_heard, utterance_id, heard_text, ended_at, present)

    async def recent_utterances(self, scope: Scope, npc_id: str, limit: int) -> list[Heard]:
        """Return the last `limit` utterances that this character heard, its own included, oldest first."""
        return await self._call(utterances.recent, scope, npc_id, limit)

    async def search_utterances(
        self,
        scope: Scope,
        npc_id: str,
        query: Query,
        vector: Vector | None,
        rag: RagSettings,
        *,
        now: float,
        names: Mapping[str, str] | None = None,
        skip_turns: Collection[str] = (),
    ) -> list[ScoredLine]:
        """Return exchanges that this character remembers and that answer the question, a line each, best first.

        `now` is the wall clock in seconds since 1970, `names` the speakers' names by id, and `skip_turns` the turns
        that are in the prompt's history. For a question about memory itself ("have we met before?") the last exchanges
        are returned.
        """
        called, skip = dict(names or {}), tuple(skip_turns)
        found = await self._call(utterances.candidates, scope, npc_id, query, vector, rag, now, called, skip)
        lines = rank(query, found, rag.topk_final)
        if lines or not query.recall or query.terms:
            return lines
        return await self._call(utterances.latest, scope, npc_id, rag.topk_final, now, called, skip)

    async def embed_heard(self, embedder: Embedder, limit: int = EMBED_BATCH) -> int:
        """Give up to `limit` heard utterances their vectors; return how many. For idle time."""
        async with self._embedding:
            await self._call(vectors.use_source, embedder.name, embedder.dimensions)
            rows = await self._call(vectors.heard_to_embed, limit)
            if not rows:
                return 0
            return await self._call(vectors.add_heard, rows, await embedder.embed([text for _, text in rows]))

    async def record_tool(self, scope: Scope, call: ToolRecord) -> None:
        """Record a tool call, or the outcome of the one with this `call_id`.

        The first outcome is final: a second one is ignored.
        """
        await self._call(utterances.record_tool, scope, call)

    async def tool_calls(self, scope: Scope, npc_id: str, limit: int) -> list[ToolRecord]:
        """Return this character's last `limit` tool calls, oldest first."""
        return await self._call(utterances.tool_calls, scope, npc_id, limit)

    async def _call(
        self, function: Callable[Concatenate[apsw.Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function with the connection on the thread."""

        def run(db: apsw.Connection) -> T:
            with complaints(self._path):
                return function(db, *args, **kwargs)

        async with self._room:
            if self._db is None:  # checked here, because the store may have been closed while this call waited
                raise StoreError(f"The memory database {self._path} is not open.", remedy="Open the store first.")
            return await self._worker.call(run, self._db)
