"""pocketsphinx as an Asr: nothing to download, a language model of the world's own words, a small part of one core.

It understands what the world makes likely (`ngram_counts.py`) and is deaf to the rest: a command-grade recogniser. What
makes it work on single short utterances is the cepstral mean. The acoustic model expects features from which the mean
over the utterance is taken; a live decoder can only guess that mean, and learns it over several utterances, so that the
first are misheard and no result can be repeated. Decoding costs 0.04 s per second of audio, so here

1. while the player speaks, the *live* search (first pass only) gives partials; at a few points in time it starts over
   from the utterance's beginning with the mean of what has been heard by then;
2. once enough has been heard for a good mean, the *final* search (all passes) takes over in the same way;
3. an utterance that ends before that is simply decoded again, with the true mean;
4. a guess at the words ends the search, since the later passes run only then. Where the utterance goes on all the
   same, the search starts over as in 1, with the best mean known.

A short utterance that makes no clear sense is decoded once more, with a model of short reactions ("mm-hm", "stop"); the
likelier of both is what was said, and the reaction where it is all but certain, or the world's words made hardly any
sense.

The words depend on nothing but the utterance's samples (and, where two sound alike, on guesses made on the way): not
on what was said before, nor on how it was chunked. (The confidence moves in the fourth decimal: the decoder begins its
search for the best Gaussians where it last left off.)
White noise of −64 dBFS is added, as no microphone is without: models trained on recordings mishear digital silence.
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
"""Samples decoded at a time: 20 ms. Decisions are made on whole frames, so that chunking doesn't matter."""
LONGEST_S: Final = 60.0
"""Longest utterance, in seconds."""
_SHORTEST_FRAMES: Final = 10
"""An utterance of less than 200 ms holds no word."""
_RESTARTS: Final = (20, 40, 80)
"""Frames after which the search starts over with a better mean: 0.4, 0.8 and 1.6 s; the last time as the final one."""
_FIRST_MEAN: Final[NDArray[np.float64]] = np.array([50.0, *[0.0] * 12])
"""Cepstral mean before anything has been heard: loud enough for speech at a usual level."""
_PRIOR_FRAMES: Final = 500
"""Feature frames as which pocketsphinx counts the mean it was given (CMN_WIN in its cmn.h)."""
_FEATURE_FRAME: Final = 160
"""Samples between two feature frames: 10 ms."""
_NOISE: Final = 20.0
"""Standard deviation of the added noise, in sample steps."""
_REACTION_FRAMES: Final = 75
"""Utterances of at most so many frames (1.5 s, silence around them included) may be short reactions."""
_CLEAR: Final = 0.8
"""Confidence from which words of the world are not weighed against reactions."""
_REACTION: Final = 0.5
"""Confidence from which a reaction is."""
_UNCLEAR: Final = 0.5
"""Confidence below which words of the world give way to any such reaction: so 481 of 500 interruptions of a speaking
character are told from 500 signs of listening, where with the likelier of both it was 471."""
_SURE: Final = 0.9
"""Confidence from which a reaction is what was said, whichever fits better: 71 of 100 signs of listening are believed
so much, four of them as "who", "that" or "listen"; of 100 interruptions two are another reaction ("stop it" for "stop",
"wait a moment" for "where is the market?")."""
_NOTHING_BELOW: Final = 0.1
"""Confidence below which the words are noise and better not shown to anybody."""
_SETTINGS: Final[dict[str, object]] = {"samprate": MIC_RATE, "lw": 9.0, "bestpathlw": 12.0, "loglevel": "FATAL"}
"""Language weights above the defaults (6.5, 9.5): the model is of the world's own words and deserves more trust."""


class Recogniser:
    """All utterances under way, each with a decoder, and the language model of the world. Blocking; one thread's."""

    def __init__(self) -> None:
        """Find the acoustic model. Raises EngineUnavailable without the package, ModelError without its model."""
        _acoustic_model()
        self._model: WorldLanguageModel | None = None
        self._idle: list[tuple[WorldLanguageModel, Any]] = []
        """Decoders that wait for an utterance, with the model each was loaded for."""
        self._open: dict[int, tuple[WorldLanguageModel, Any, DecodedUtterance]] = {}

    def learn(self, vocabulary: Vocabulary, folder: Path) -> None:
        """Expect these words from now on. Models are kept in the folder. Raises ModelError."""
        model = build(vocabulary, folder, _acoustic_model()[1])
        decoder = _load(model)
        self._model, self._idle = model, [(model, decoder)]

    def open(self, number: int) -> None:
        """Begin an utterance, which is known by this number."""
        if self._idle:
            model, decoder = self._idle.pop()
        elif self._model is not None:
            model, decoder = self._model, _load(self._model)
        else:
            raise EngineError("The recogniser has no language model.", remedy="Teach it a vocabulary first.")
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
        """Throw an utterance away, if it was ever begun."""
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
    """One utterance on its way through a decoder of its own."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._reframer = Reframer(FRAME)
        self._random = np.random.default_rng(0)
        self._frames: list[bytes] = []
        self._decoded = 0
        """Frames that the current search has had."""
        self._restarts = list(_RESTARTS)
        self._mean = _FIRST_MEAN
        self._text = ""
        self._guess: Recognition | None = None
        """What came of the frames so far; there is no search under way then."""
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
        # There is no other way out of an utterance. It is free in the live search; the final one runs its later passes
        # for nobody.
        if self._guess is None:
            self._stop()

    def _final(self) -> Recognition:
        """End the search with all its passes."""
        if len(self._frames) < _SHORTEST_FRAMES:
            self._stop()
            return Recognition("", 0.0)
        if self._restarts:
            # Taken by ourselves: a decoder that has once been given audio bit by bit goes on to use the mean it was
            # given, even when it gets an utterance whole.
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
        """End the search and judge its result."""
        first_pass = _hypothesis(self._decoder)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return _Found(_recognition(self._decoder, first_pass), found.score if found is not None else 0.0)

    def _restart(self) -> None:
        """Start over with the mean of what has been heard by now."""
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
        """End a search whose result is of no interest. The final one fails to end when it has heard nothing."""
        if not self._decoded:
            self._decode()
        self._decoder.end_utt()

    def _decode(self) -> None:
        """Decode what the search has not had yet."""
        chunk = b"".join(self._frames[self._decoded :])
        if chunk:
            self._decoder.process_raw(chunk, False, False)
            self._decoded = len(self._frames)

    def _heard_mean(self) -> NDArray[np.float64]:
        """Return the cepstral mean of the audio so far.

        pocketsphinx tells m = (500·m₀ + Σ) / (500 + n), the given mean m₀ counting as 500 frames; solve for Σ/n.
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
    """What one search made of an utterance."""

    recognition: Recognition
    score: float
    """How well sound and words fit together, comparable between searches of the same audio."""


def _hypothesis(decoder: Any) -> str:
    found = decoder.hyp()
    return str(found.hypstr) if found is not None else ""


def _recognition(decoder: Any, first_pass: str) -> Recognition:
    """Read the decoder's result, and judge it."""
    found = decoder.hyp()
    if found is None:
        return Recognition("", 0.0)
    words = [
        # `when(3)` is the third pronunciation of "when"; <sil> and [NOISE] are no words.
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
        # Last, for it stays set: whether features are kept for a second pass is looked up when an utterance begins.
        decoder.config["fwdflat"] = True
        decoder.add_lm("final", words)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"pocketsphinx cannot load the language model in {model.directory}: {error}.",
            remedy="Delete that directory; it is made again at the next start.",
        ) from error
    return decoder
