"""The cache of language models: a world's model and dictionary as files, under a hash of what they are built from.

The hash is of the vocabulary, the wordings and whether espeak-ng is there, so a changed world gets new files and an
unchanged one starts at once. A directory gets its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mythicd.asr.pocketsphinx import ngram_counts, ngram_model
from mythicd.asr.pocketsphinx.lexicon import pronounce
from mythicd.asr.pocketsphinx.player_phrases import REACTIONS, WORDINGS
from mythicd.engines.asr import Vocabulary
from mythicd.errors import EngineUnavailable, ModelError
from mythicd.native.espeakng import EspeakNg

log = logging.getLogger(__name__)

_FORMAT: Final = b"mythic-lm-2"
_KEPT_MODELS: Final = 8
"""Language models kept in the cache directory."""


@dataclass(frozen=True, slots=True)
class WorldLanguageModel:
    """The files of two language models, of the world and of short reactions, and of their dictionary."""

    directory: Path

    @property
    def arpa(self) -> Path:
        return self.directory / "world.lm"

    @property
    def reactions(self) -> Path:
        return self.directory / "reactions.lm"

    @property
    def dictionary(self) -> Path:
        return self.directory / "world.dict"


def build(vocabulary: Vocabulary, root: Path, dictionary: Path) -> WorldLanguageModel:
    """Return the world's model in a directory under `root`; build it if it is not there.

    `dictionary` is the CMU dictionary that belongs to the acoustic model. Raises ModelError when it cannot be read or
    `root` cannot be written.
    """
    try:
        espeak: EspeakNg | None = EspeakNg.load()
    except EngineUnavailable as error:
        log.warning("espeak-ng is missing; names are pronounced by spelling rules: %s", error)
        espeak = None
    key = hashlib.sha256(_FORMAT + repr((WORDINGS, REACTIONS, vocabulary, espeak is not None)).encode()).hexdigest()[
        :32
    ]
    model = WorldLanguageModel(root / key)
    if all(path.is_file() for path in (model.arpa, model.reactions, model.dictionary)):
        os.utime(model.directory)
        return model
    trigram = ngram_model.estimate(ngram_counts.triples(vocabulary))
    reactions = ngram_model.estimate(ngram_counts.reactions())
    lexicon = pronounce({*trigram.words, *reactions.words}, dictionary, espeak)
    if lexicon.guessed:
        log.warning("words pronounced by spelling rules, which may be recognised badly: %s", ", ".join(lexicon.guessed))
    if lexicon.unspeakable:
        log.warning("words without a pronunciation, which are never recognised: %s", ", ".join(lexicon.unspeakable))
    try:
        root.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=root))
        (fresh / "world.lm").write_text(trigram.arpa(), encoding="utf-8")
        (fresh / "reactions.lm").write_text(reactions.arpa(), encoding="utf-8")
        (fresh / "world.dict").write_text(lexicon.cmu(), encoding="utf-8")
        if model.directory.exists():
            shutil.rmtree(model.directory)
        fresh.rename(model.directory)
    except OSError as error:
        raise ModelError(
            f"The language model cannot be written to {root}: {error}.", remedy="Free space, or check its permissions."
        ) from error
    _prune(root)
    return model


def _prune(root: Path) -> None:
    """Delete all but the most recently used models."""
    models = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in models[:-_KEPT_MODELS]:
        shutil.rmtree(path, ignore_errors=True)
