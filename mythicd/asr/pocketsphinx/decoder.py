"""The pocketsphinx decoder: audio to words of the world's own language model (`ngram_counts.py`), and no others.

The acoustic model expects features without the utterance's cepstral mean. pocketsphinx adapts its estimate of the mean
over several utterances, so the first are misrecognised and results cannot be repeated. Decoding takes only 0.04 s per
second of audio, so `DecodedUtterance` decodes an utterance again whenever a better mean is known. The words then depend
only on the utterance's samples (and, between words that sound alike, on guesses on the way), not on earlier utterances
or on chunking; the confidence varies in the fourth decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mythicd.asr.pocketsphinx.confidence import HeardWord, confidence
from mythicd.asr.pocketsphinx.model_cache import WorldLanguageModel, build
from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES, Reframer, to_array
from mythicd.engines.asr import Recognition, Vocabulary
from mythicd.errors import AudioError, EngineError, EngineUnavailable, ModelError

FRAME: Final = 320
"""Samples decoded at a time: 20 ms. Decisions are made on whole frames, so that chunking does not matter."""
LONGEST_S: Final = 60.0
"""Longest utterance, in seconds."""
_SHORTEST_FRAMES: Final = 10
"""Shortest utterance with a word: 200 ms."""
_RESTARTS: Final = (20, 40, 80)
"""Frames after which the search restarts with a better mean: 0.4, 0.8 and 1.6 s; the last time as the final one."""
_FIRST_MEAN: Final[NDArray[np.float64]] = np.array([50.0, *[0.0] * 12])
"""Cepstral mean before any audio: that of speech at a usual level."""
_PRIOR_FRAMES: Final = 500
"""Feature frames for which pocketsphinx counts the given mean (CMN_WIN in its cmn.h)."""
_FEATURE_FRAME: Final = 160
"""Samples between two feature frames: 10 ms."""
_NOISE: Final = 20.0
"""Standard deviation of the added noise, in sample steps: −64 dBFS, as of a microphone. Models trained on recordings
misrecognise digital silence."""
_REACTION_FRAMES: Final = 75
"""Longest short reaction: 1.5 s, with the silence around it."""
_CLEAR: Final = 0.8
"""Confidence from which words of the world are not compared with reactions."""
_REACTION: Final = 0.5
"""Least confidence of a reaction."""
_UNCLEAR: Final = 0.5
"""Confidence below which any such reaction wins over words of the world: 481 of 500 interruptions of a speaking
character are told from 500 backchannels, instead of 471 when only the likelier of both counts."""
_SURE: Final = 0.9
"""Confidence from which a reaction always wins: 71 of 100 backchannels reach it, four of them as "who", "that" or
"listen"; of 100 interruptions two become another reaction ("stop it" for "stop", "wait a moment" for "where is the
market?")."""
_NOTHING_BELOW: Final = 0.1
"""Confidence below which the words are noise, and dropped."""
_SETTINGS: Final[dict[str, object]] = {"samprate": MIC_RATE, "lw": 9.0, "bestpathlw": 12.0, "loglevel": "FATAL"}
"""Language weights above the defaults (6.5, 9.5), because the model is of the world's own words."""


class Recogniser:
    """All open utterances, each with a decoder, and the world's language model. Blocking; for one thread."""

    def __init__(self) -> None:
        """Find the acoustic model. Raises EngineUnavailable without the package, ModelError without its model."""
        _acoustic_model()
        self._model: WorldLanguageModel | None = None
        self._idle: list[tuple[WorldLanguageModel, Any]] = []
        """Idle decoders, with the model that each has loaded."""
        self._open: dict[int, tuple[WorldLanguageModel, Any, DecodedUtterance]] = {}

    def learn(self, vocabulary: Vocabulary, folder: Path) -> None:
        """Build and load the model of these words, which is cached in the folder. Raises ModelError."""
        model = build(vocabulary, folder, _acoustic_model()[1])
        decoder = _load(model)
        self._model, self._idle = model, [(model, decoder)]

    def open(self, number: int) -> None:
        """Open an utterance under this number."""
        if self._idle:
            model, decoder = self._idle.pop()
        elif self._model is not None:
            model, decoder = self._model, _load(self._model)
        else:
            raise EngineError("The recogniser has no language model.", remedy="Call learn() first.")
        self._open[number] = model, decoder, DecodedUtterance(decoder)

    def push(self, number: int, pcm: bytes) -> str:
        """Take audio of an utterance; return the hypothesis so far. Raises AudioError; the utterance then goes on."""
        return self._open[number][2].push(pcm)

    def guess(self, number: int) -> Recognition:
        """Return what `finish` would return now."""
        return self._open[number][2].guess()

    def finish(self, number: int) -> Recognition:
        """Return an utterance's final words."""
        model, decoder, utterance = self._open.pop(number)
        try:
            return utterance.guess()
        finally:
            self._give_back(model, decoder)

    def abandon(self, number: int) -> None:
        """Discard an utterance, if it is open."""
        if number not in self._open:
            return
        model, decoder, utterance = self._open.pop(number)
        try:
            utterance.abandon()
        finally:
            self._give_back(model, decoder)

    def _give_back(self, model: WorldLanguageModel, decoder: Any) -> None:
        if model == self._model:
            self._idle.append((model, decoder))


class DecodedUtterance:
    """The recognition of one utterance, with its own decoder.

    1. During the utterance the *live* search (first pass only) gives partials. At `_RESTARTS` it starts again from the
       beginning, with the mean of the audio so far.
    2. The last time the *final* search (all passes) takes over. An utterance that ends before is decoded again by it.
    3. A guess ends the search, since the later passes run only then; if the utterance goes on, the search restarts.
    4. A short utterance of low confidence is also decoded with a model of short reactions ("mm-hm", "stop").
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._reframer = Reframer(FRAME)
        self._random = np.random.default_rng(0)
        self._frames: list[bytes] = []
        self._decoded = 0
        """Frames that the current search has decoded."""
        self._restarts = list(_RESTARTS)
        self._mean = _FIRST_MEAN
        self._text = ""
        self._guess: Recognition | None = None
        """The result for the frames so far; no search is running then."""
        self._begin("live")

    def push(self, pcm: bytes) -> str:
        if len(self._frames) * FRAME + len(pcm) // SAMPLE_BYTES > LONGEST_S * MIC_RATE:
            raise AudioError(
                f"The utterance is longer than {LONGEST_S:.0f} s.", remedy="Finish it and open another one."
            )
        for frame in self._reframer.add(pcm):
            self._frames.append(self._with_noise(frame))
            if self._guess is not None:
                self._guess = None
                self._begin("live" if self._restarts else "final")
            self._decode()
            self._text = _hypothesis(self._decoder)
            if self._restarts and len(self._frames) >= self._restarts[0]:
                self._restart()
        return self._text

    def guess(self) -> Recognition:
        if self._guess is None:
            self._guess = self._final()
        return self._guess

    def abandon(self) -> None:
        # pocketsphinx has no cheaper way to end an utterance: the final search still runs its later passes.
        if self._guess is None:
            self._stop()

    def _final(self) -> Recognition:
        """End the search with all its passes, and return its result."""
        if len(self._frames) < _SHORTEST_FRAMES:
            self._stop()
            return Recognition("", 0.0)
        if self._restarts:
            # Set explicitly: a decoder that once got audio in parts uses its given mean even for a whole utterance.
            self._mean = self._heard_mean()
            self._stop()
            self._begin("final")
        self._decode()
        found = self._read()
        if len(self._frames) > _REACTION_FRAMES or found.recognition.confidence >= _CLEAR:
            return found.recognition
        self._begin("reaction")
        self._decode()
        reaction = self._read()
        believed = reaction.recognition.confidence
        wins = believed >= _SURE or reaction.score > found.score or found.recognition.confidence < _UNCLEAR
        return reaction.recognition if wins and believed >= _REACTION else found.recognition

    def _read(self) -> _Found:
        """End the search, and return its result with its confidence."""
        first_pass = _hypothesis(self._decoder)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return _Found(_recognition(self._decoder, first_pass), found.score if found is not None else 0.0)

    def _restart(self) -> None:
        """Restart the search with the mean of the audio so far."""
        self._restarts.pop(0)
        self._mean = self._heard_mean()
        self._decoder.end_utt()
        self._begin("live" if self._restarts else "final")
        self._decode()

    def _begin(self, search: str) -> None:
        self._decoder.activate_search(search)
        self._decoder.set_cmn(",".join(f"{value:.4f}" for value in self._mean))
        self._decoder.start_utt()
        self._decoded = 0

    def _stop(self) -> None:
        """End a search and ignore its result. The final search fails to end if it has decoded nothing."""
        if not self._decoded:
            self._decode()
        self._decoder.end_utt()

    def _decode(self) -> None:
        """Decode the frames that the search has not had."""
        chunk = b"".join(self._frames[self._decoded :])
        if chunk:
            self._decoder.process_raw(chunk, False, False)
            self._decoded = len(self._frames)

    def _heard_mean(self) -> NDArray[np.float64]:
        """Return the cepstral mean of the audio so far.

        pocketsphinx returns m = (500·m₀ + Σ) / (500 + n), where the given mean m₀ counts as 500 frames; solve for Σ/n.
        """
        told = np.array([float(value) for value in self._decoder.get_cmn(True).split(",")])
        frames = max(1, self._decoded * FRAME // _FEATURE_FRAME - 2)
        mean: NDArray[np.float64] = ((_PRIOR_FRAMES + frames) * told - _PRIOR_FRAMES * self._mean) / frames
        return mean

    def _with_noise(self, frame: bytes) -> bytes:
        noisy = to_array(frame) + self._random.normal(0.0, _NOISE, FRAME)
        return bytes(np.clip(np.rint(noisy), -32768, 32767).astype("<i2").tobytes())


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of one search."""

    recognition: Recognition
    score: float
    """Fit of sound and words, comparable between searches of the same audio."""


def _hypothesis(decoder: Any) -> str:
    found = decoder.hyp()
    return str(found.hypstr) if found is not None else ""


def _recognition(decoder: Any, first_pass: str) -> Recognition:
    """Return the decoder's result with its confidence."""
    found = decoder.hyp()
    if found is None:
        return Recognition("", 0.0)
    words = [
        # `when(3)` is the third pronunciation of "when"; <sil> and [NOISE] are not words.
        HeardWord(part.word.partition("(")[0], part.end_frame - part.start_frame + 1, part.ascore, part.lscore)
        for part in decoder.seg()
        if not part.word.startswith(("<", "["))
    ]
    trust = confidence(words, found.prob, first_pass)
    return Recognition(str(found.hypstr), trust) if trust >= _NOTHING_BELOW else Recognition("", 0.0)


def _package() -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise EngineUnavailable(
            f"The speech recogniser pocketsphinx is not installed ({error}).",
            remedy="Reinstall Mythic with its dependencies, or: pip install pocketsphinx",
        ) from error
    return pocketsphinx


def _acoustic_model() -> tuple[Path, Path]:
    """Return the acoustic model's directory and the pronouncing dictionary, both inside the package."""
    root = Path(_package().get_model_path()) / "en-us"
    acoustic, dictionary = root / "en-us", root / "cmudict-en-us.dict"
    for path in (acoustic / "mdef", acoustic / "means", acoustic / "sendump", dictionary):
        if not path.is_file():
            raise ModelError(
                f"pocketsphinx's acoustic model is incomplete: {path} is missing.",
                remedy="Reinstall it: pip install --force-reinstall pocketsphinx",
            )
    return acoustic, dictionary


def _load(model: WorldLanguageModel) -> Any:
    """Load a decoder with its searches, which share the acoustic model and the dictionary."""
    package = _package()
    acoustic, _ = _acoustic_model()
    try:
        config = package.Config(
            hmm=str(acoustic), dict=str(model.dictionary), lm=None, fwdflat=False, bestpath=False, **_SETTINGS
        )
        decoder = package.Decoder(config)
        # Not NGramModel.readfile: it knows no settings, so that the language weight would be 1.
        words = package.NGramModel(decoder.config, decoder.logmath, str(model.arpa))
        decoder.add_lm("live", words)
        decoder.config["bestpath"] = True
        decoder.add_lm("reaction", package.NGramModel(decoder.config, decoder.logmath, str(model.reactions)))
        # Last, because it stays set: it is read at the start of an utterance, to keep features for a second pass.
        decoder.config["fwdflat"] = True
        decoder.add_lm("final", words)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"pocketsphinx cannot load the language model in {model.directory}: {error}.",
            remedy="Delete that directory; it is built again at the next start.",
        ) from error
    return decoder
