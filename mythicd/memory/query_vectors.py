"""A cache of query embeddings, least recently used first out.

While the player speaks, the same words are searched several times (each partial, then the final text); only the first
time costs an embedding.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from mythicd.engines.embedder import Embedder


class QueryVectors:
    """The vectors of the last queries, by their words."""

    def __init__(self, embedder: Embedder, capacity: int = 64) -> None:
        """At most `capacity` vectors (1.5 KB each) are kept; the least recently used goes first."""
        self._embedder = embedder
        self._capacity = capacity
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def of(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of a text; case, punctuation at the end and spacing make no difference."""
        words = normalised(text)
        async with self._lock:  # a second caller with the same words waits for the first instead of embedding twice
            if words not in self._vectors:
                self._vectors[words] = (await self._embedder.embed([words]))[0]
                if len(self._vectors) > self._capacity:
                    self._vectors.popitem(last=False)
            self._vectors.move_to_end(words)
            return self._vectors[words]


def normalised(text: str) -> str:
    """Return the cache key of a text: lower case, single spaces, no punctuation at the end."""
    return re.sub(r"\s+", " ", text).strip().rstrip(".?!…, ").lower()
