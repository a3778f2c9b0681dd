"""The embedder all-MiniLM-L6-v2 on llama.cpp: implements the `Embedder` Protocol.

It uses one thread, since the game needs the cores, and on a busy machine a second thread makes a 4 ms query take
300 ms. Texts are evaluated one by one, so that none is padded to another's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.errors import EngineError
from mythicd.memory.minilm_gguf import PACKAGE, find_model, gguf_of
from mythicd.native import llamacpp

CONTEXT = 512
"""Most word pieces of a text, the number of positions of the model; the rest of a longer text is ignored."""


class MiniLmEmbedder:
    """all-MiniLM-L6-v2, quantised to Q8_0, on the CPU. Implements `Embedder`."""

    name = "all-MiniLM-L6-v2/q8_0"
    """Model and precision; vectors of different names cannot be compared."""

    dimensions = 384

    def __init__(self, cache: Path, *, package: str = PACKAGE) -> None:
        """`cache` is the folder for the converted model; `package` is the Python package that carries the original."""
        self._cache = cache
        self._package = package
        self._worker = WorkerThread("embedder")
        self._model: Any = None
        self._context: Any = None
        self._batch: Any = None

    async def start(self) -> None:
        """Load the model: 0.2 s, and 2–3 s for the conversion the first time. Raises EngineUnavailable, ModelError."""
        await self._worker.call(self._load)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), 384); rows have length 1. An empty text has a vector too.

        Raises EngineError when llama.cpp fails.
        """
        return await self._worker.call(self._embed, tuple(texts))

    async def stop(self) -> None:
        """Free the model and end the thread. May be called whether or not `start` succeeded."""
        await self._worker.call(self._free)
        await self._worker.close()

    # Everything below runs on the worker's thread.

    def _load(self) -> None:
        file = gguf_of(find_model(self._package), self._cache)
        library = llamacpp.backend()
        self._model = llamacpp.load_model(file)
        params = library.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = CONTEXT  # an encoder needs a whole text in one micro-batch
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = 1
        params.embeddings = True
        params.pooling_type = library.LLAMA_POOLING_TYPE_MEAN
        self._context = library.llama_init_from_model(self._model, params)
        if not self._context:
            self._free()
            raise EngineError("llama.cpp cannot create a context for the embedding model.", remedy="Free memory.")
        self._batch = library.llama_batch_init(CONTEXT, 0, 1)
        self._vector("warm up")

    def _embed(self, texts: tuple[str, ...]) -> NDArray[np.float32]:
        if self._context is None:
            raise EngineError("The embedder is not running.", remedy="Start it first.")
        vectors = [self._vector(text) for text in texts]
        return np.stack(vectors) if vectors else np.empty((0, self.dimensions), dtype=np.float32)

    def _vector(self, text: str) -> NDArray[np.float32]:
        library = llamacpp.backend()
        tokens = self._tokens(text)
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = True
        status = library.llama_encode(self._context, batch)
        pooled = library.llama_get_embeddings_seq(self._context, 0) if status == 0 else None
        if not pooled:
            raise EngineError(f"llama.cpp cannot embed a text of {len(tokens)} tokens (status {status}).")
        vector = np.ctypeslib.as_array(pooled, shape=(self.dimensions,)).astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))

    def _tokens(self, text: str) -> list[int]:
        """Return the text's word pieces between [CLS] and [SEP], at most CONTEXT of them."""
        library = llamacpp.backend()
        vocabulary = library.llama_model_get_vocab(self._model)
        encoded = text.encode(errors="replace")
        room = len(encoded) + 2  # a piece has at least one byte, except where the removal of accents makes more pieces
        for _ in range(2):
            buffer = (library.llama_token * room)()
            count = library.llama_tokenize(vocabulary, encoded, len(encoded), buffer, room, True, False)
            if count >= 0:
                break
            room = -count
        else:
            raise EngineError(f"llama.cpp cannot tokenize a text of {len(encoded)} bytes.")
        tokens = list(buffer[:count])
        return tokens if count <= CONTEXT else [*tokens[: CONTEXT - 1], tokens[-1]]

    def _free(self) -> None:
        if self._model is None:
            return
        library = llamacpp.backend()
        if self._batch is not None:
            library.llama_batch_free(self._batch)
        if self._context:
            library.llama_free(self._context)
        library.llama_model_free(self._model)
        self._model = self._context = self._batch = None
