"""The decoder of one Piper voice: the frames of a sentence to samples, piece by piece.

Every piece is computed with margins, frames of which its samples are not kept, so that they are those that the whole
sentence would have. How wide a voice's margins must be is measured when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mythicd.errors import EngineError
from mythicd.tts.piper.pieces import Piece, block_end, pieces, widen

Floats = NDArray[np.float32]

MARGINS: Final = (4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96)
"""Margins to try, in frames."""
EXACT: Final = 1e-6
"""Largest difference of a piece's values from those of the whole, as a share of the largest value, by which a margin
is wide enough; the next wider one is taken. Rounding makes 6e-7, as shorter matrices are summed in another order."""
JOINED: Final = 3e-4
"""The same for the samples of all pieces, −70 dB. Rounding in the flow makes 7e-5 of them, a narrow margin 2e-3."""
_PROBE: Final = 10
"""Frames of the pieces by which margins are measured."""


class Session(Protocol):
    """An ONNX Runtime session."""

    def run(self, outputs: None, given: Mapping[str, NDArray[Any]]) -> list[Any]:
        """Return the graph's outputs."""


@dataclass(slots=True)
class LoadedStage:
    """A stage of the graph (graph.Stage) with its session."""

    session: Session
    frames: str
    sides: tuple[str, ...]
    margin: int | None = None
    """Frames that it must see on each side of a piece; None while that is not known, or without a bound."""


@dataclass(slots=True)
class SentenceFrames:
    """A sentence on its way through the decoder."""

    values: Mapping[str, NDArray[Any]]
    """What the front made: the prior and the side values, or the audio of a voice that cannot be cut."""
    count: int
    hidden: Floats | None = None
    """The flow's output, shape [1, channels, count], as far as it was computed."""
    ready: int = 0
    """Frames of `hidden` that were computed."""


@dataclass(slots=True)
class Decoder:
    """The stages of one voice, none where it cannot be cut. Several sentences may be decoded at once."""

    stages: Sequence[LoadedStage]
    hop: int
    """Samples of one frame."""
    audio: str
    """Name of the audio among the front's outputs, where there are no stages."""
    notice: str = ""
    """Why the voice is not computed in pieces; empty if it is."""
    _bounded: bool = field(default=False)

    @property
    def in_pieces(self) -> bool:
        """Whether the margins are known, so that sentences are computed in pieces."""
        return self._bounded

    def pieces(self, frames: SentenceFrames) -> list[Piece]:
        """Return the pieces in which a sentence is computed: one, where the voice cannot do it in several."""
        return list(pieces(frames.count)) if self._bounded else [Piece(0, frames.count)]

    def samples(self, frames: SentenceFrames, piece: Piece) -> Floats:
        """Return the samples of a piece; pieces are computed in order. Raises EngineError when ONNX Runtime fails."""
        if not self.stages:
            whole: Floats = frames.values[self.audio].reshape(-1)
            return whole[piece.start * self.hop : piece.end * self.hop]
        *flows, vocoder = self.stages
        seen = _seen(piece, vocoder, frames.count)
        for flow in flows:
            self._extend(frames, flow, seen.end)
        values = frames.values[vocoder.frames] if frames.hidden is None else frames.hidden
        audio = _run(vocoder, values, frames, seen).reshape(-1)
        start = (piece.start - seen.start) * self.hop
        return audio[start : start + (piece.end - piece.start) * self.hop]

    def whole(self, frames: SentenceFrames) -> Floats:
        """Return all samples of a sentence, computed at once. Raises EngineError when ONNX Runtime fails."""
        values: Floats = frames.values[self.stages[0].frames if self.stages else self.audio]
        for stage in self.stages:
            values = _run(stage, values, frames, Piece(0, frames.count))
        return values.reshape(-1)

    def measure(self, frames: SentenceFrames, whole: Floats) -> None:
        """Find the margins with one sentence and all its samples, and check that its pieces have the same.

        A voice for which none is wide enough speaks whole sentences, and `notice` says so.
        """
        if not self.stages:
            self.notice = "its graph cannot be cut"
            return
        try:
            self._bounded = self._find_margins(frames, whole)
        except (EngineError, ValueError, IndexError):  # a stage whose values are not frames
            self._bounded = False
        if not self._bounded:
            self.notice = "its decoder needs all frames"
            for stage in self.stages:
                stage.margin = None

    def _find_margins(self, frames: SentenceFrames, samples: Floats) -> bool:
        values: Floats = frames.values[self.stages[0].frames]
        for stage in self.stages:
            is_last = stage is self.stages[-1]
            whole = samples if is_last else _run(stage, values, frames, Piece(0, frames.count))
            scale = self.hop if is_last else 1
            if whole.shape[-1] != scale * frames.count:
                return False
            stage.margin = _margin(stage, values, frames, whole, scale)
            if stage.margin is None:
                return False
            values = whole
        again = SentenceFrames(frames.values, frames.count)
        joined = np.concatenate([self.samples(again, piece) for piece in pieces(frames.count)])
        return bool(np.abs(joined - samples).max() <= JOINED * float(np.abs(samples).max()))

    def _extend(self, frames: SentenceFrames, flow: LoadedStage, needed: int) -> None:
        """Compute the flow's output at least up to frame `needed`."""
        if needed <= frames.ready:
            return
        margin = frames.count if flow.margin is None else flow.margin
        block = Piece(frames.ready, block_end(frames.ready, needed, frames.count, margin))
        seen = widen(block, margin, frames.count)
        made = _run(flow, frames.values[flow.frames], frames, seen)
        if frames.hidden is None:
            frames.hidden = np.zeros((*made.shape[:-1], frames.count), np.float32)
        frames.hidden[..., block.start : block.end] = made[..., block.start - seen.start : block.end - seen.start]
        frames.ready = block.end


def _seen(piece: Piece, stage: LoadedStage, count: int) -> Piece:
    return widen(piece, count if stage.margin is None else stage.margin, count)


def _margin(stage: LoadedStage, values: Floats, frames: SentenceFrames, whole: Floats, scale: int) -> int | None:
    """Return the margin that a stage needs, whose output has `scale` values a frame; None when none is wide enough."""
    allowed = EXACT * float(np.abs(whole).max())
    for margin, wider in pairwise(MARGINS):
        if _error(stage, values, frames, whole, scale, margin) <= allowed:
            return wider
    return None


def _error(stage: LoadedStage, values: Floats, frames: SentenceFrames, whole: Floats, scale: int, margin: int) -> float:
    """Return the largest difference from the whole in pieces at the quarters of the sentence."""
    largest = 0.0
    for quarter in (1, 2, 3):
        start = frames.count * quarter // 4
        piece = Piece(start, min(frames.count, start + _PROBE))
        seen = widen(piece, margin, frames.count)
        made = _run(stage, values, frames, seen)
        offset, size = (piece.start - seen.start) * scale, (piece.end - piece.start) * scale
        difference = made[..., offset : offset + size] - whole[..., piece.start * scale : piece.end * scale]
        largest = max(largest, float(np.abs(difference).max()))
    return largest


def _run(stage: LoadedStage, values: Floats, frames: SentenceFrames, seen: Piece) -> Floats:
    """Run a stage on some frames. Side values with a time axis are cut likewise; a speaker's embedding has none."""
    given: dict[str, NDArray[Any]] = {stage.frames: values[..., seen.start : seen.end]}
    for name in stage.sides:
        side = frames.values[name]
        has_time = side.ndim == 3 and side.shape[-1] == frames.count > 1
        given[name] = side[..., seen.start : seen.end] if has_time else side
    made: Floats = run_session(stage.session, given)[0]
    return made


def run_session(session: Session, given: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Run a session. Raises EngineError when ONNX Runtime fails, such as for lack of memory."""
    try:
        return session.run(None, given)
    except Exception as error:  # ONNX Runtime has its own classes
        raise EngineError(
            f"Piper could not synthesise a phrase: {error}.",
            remedy="Use shorter phrases, or close programs that need memory.",
        ) from error
