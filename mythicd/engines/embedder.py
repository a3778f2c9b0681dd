"""Text embedding: the `Embedder` Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """A text embedding engine: unit vectors, whose cosine is the similarity of two texts."""

    name: str
    """Model and precision: vectors of different names cannot be compared."""

    dimensions: int
    """Length of each vector; 384 for all-MiniLM-L6-v2."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable or ModelError."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dimensions); rows have length 1."""

    async def stop(self) -> None:
        """Free the model."""
