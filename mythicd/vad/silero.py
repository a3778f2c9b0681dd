"""Silero's voice activity detector: a small recurrent network that takes 0.2 ms of CPU time per 32 ms.

The network (version 6) is an ONNX file in the package silero-vad and runs in ONNX Runtime. The package itself is not
imported, because it imports torch. The network takes chunks of 512 samples (32 ms) with the last 64 of the chunk
before; a 20 ms frame gets the probability of the last whole chunk, so it lags by at most one chunk.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Reframer, to_array
from mythicd.engines.vad import VAD_FRAME
from mythicd.errors import EngineError, EngineUnavailable, ModelError

CHUNK = 512
"""Samples of a chunk."""

_CONTEXT = 64
"""Samples of the previous chunk that the network needs again."""

_PACKAGE = "silero_vad"
_MODEL = "silero_vad_16k_op15.onnx"
_INSTALL = "Install it: pip install --no-deps silero-vad"
_RATE = np.array([MIC_RATE], dtype=np.int64)


class SileroStream:
    """Silero's detector on one microphone stream."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.reset()

    def push(self, pcm: bytes) -> list[float]:
        """Take s16le 16 kHz audio; return a speech probability for each whole 20 ms frame."""
        probabilities: list[float] = []
        # Frame by frame, so that the probability of a frame does not depend on how much audio comes at once.
        for frame in self._frames.add(pcm):
            for chunk in self._chunks.add(frame):
                self._latest = self._probability(chunk)
            probabilities.append(self._latest)
        return probabilities

    def reset(self) -> None:
        """Forget the audio so far."""
        self._frames = Reframer(VAD_FRAME)
        self._chunks = Reframer(CHUNK)
        self._latest = 0.0
        self._state: NDArray[np.float32] = np.zeros((2, 1, 128), dtype=np.float32)
        self._context: NDArray[np.float32] = np.zeros(_CONTEXT, dtype=np.float32)

    def _probability(self, chunk: bytes) -> float:
        samples = to_array(chunk).astype(np.float32) / np.float32(32768)
        seen = np.concatenate([self._context, samples])[np.newaxis]
        found, self._state = self._session.run(None, {"input": seen, "state": self._state, "sr": _RATE})
        self._context = samples[-_CONTEXT:]
        return min(1.0, max(0.0, float(found[0, 0])))


class SileroVad:
    """The detector of the package silero-vad. All streams share one session."""

    def __init__(self) -> None:
        self._session: Any = None

    async def start(self) -> None:
        """Load the network. Raises EngineUnavailable or ModelError."""
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineUnavailable(
                f"onnxruntime cannot be imported: {error}.", remedy="Install it: pip install onnxruntime"
            ) from error
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise EngineUnavailable("The package silero-vad is not installed.", remedy=_INSTALL)
        model = Path(next(iter(spec.submodule_search_locations))) / "data" / _MODEL
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            SileroStream(session).push(bytes(2 * CHUNK * 2))
        except Exception as error:  # ONNX Runtime's exceptions have no other common base
            raise ModelError(
                f"The Silero network {model} cannot be loaded: {error}.",
                remedy="Reinstall it: pip install --force-reinstall --no-deps silero-vad",
            ) from error
        self._session = session

    def open(self) -> SileroStream:
        """Open a stream."""
        if self._session is None:
            raise EngineError("The voice activity detector is not running.", remedy="Call start() first.")
        return SileroStream(self._session)

    async def stop(self) -> None:
        """Free the network once the last stream is closed."""
        self._session = None
