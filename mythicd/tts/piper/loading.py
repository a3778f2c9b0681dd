"""Loading of Piper voices: the two files of a voice, checked against each other, to a `LoadedVoice`.

The only file that imports Piper, onnx and ONNX Runtime.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mythicd.errors import EngineUnavailable, ModelError
from mythicd.tts.piper.decoder import Decoder, LoadedStage
from mythicd.tts.piper.graph import Graphs, cut
from mythicd.tts.piper.voice import LoadedVoice, VoiceConfig

PACKAGES: Final = ("piper.voice", "onnx.utils", "onnxruntime")
_PHONEME_TYPES: Final = ("espeak", "text")
_RATES: Final = range(8_000, 48_001)
_REMEDY: Final = "Download both of its files again."


def import_package(module: str) -> ModuleType:
    """Return a module of a package. Raises EngineUnavailable that names the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise EngineUnavailable(
            f"Piper needs the package {package}: {error}.", remedy="Run: pip install 'mythicd[piper]'"
        ) from error


def load_voice(path: Path, *, threads: int, device: str) -> LoadedVoice:
    """Load a voice and warm it up; blocks for about a second.

    Raises ModelError for files that are missing, damaged or do not belong together, EngineUnavailable for a package or
    a device that is missing.
    """
    config_path = Path(f"{path}.json")
    for needed in (path, config_path):
        if not needed.is_file():
            raise ModelError(
                f"The Piper voice {path.stem}: there is no file {needed}.",
                remedy="Put both files of the voice there: NAME.onnx and NAME.onnx.json.",
            )
    piper, onnx, runtime = (import_package(module) for module in PACKAGES)
    onnx = import_package("onnx")  # whose extractor is the module above
    providers = _providers(runtime, device)
    piper_config = _read_config(piper, path, config_path)
    try:
        graphs = cut(onnx.load(str(path)), onnx)
        config = _checked(path, config_path, piper_config, graphs)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.enable_mem_pattern = False  # it keeps a plan for each length of a sentence
        options.log_severity_level = 4  # failures are raised

        def session(model: bytes) -> Any:
            return runtime.InferenceSession(model, sess_options=options, providers=providers)

        stages = [LoadedStage(session(stage.model), stage.frames, stage.sides) for stage in graphs.stages]
        voice = LoadedVoice(
            path.stem,
            config,
            piper.PiperVoice(session=None, config=piper_config).phonemize,
            session(graphs.front),
            graphs.outputs,
            Decoder(stages, config.hop, graphs.outputs[0]),
        )
        _warm_up(voice, config_path)
    except ModelError:
        raise
    except Exception as error:  # protobuf, onnx and ONNX Runtime each have their own classes for a broken file
        raise ModelError(
            f"The Piper voice {path.stem}: {path} cannot be used with {config_path.name}: {error}.", remedy=_REMEDY
        ) from error
    return voice


def _warm_up(voice: LoadedVoice, config_path: Path) -> None:
    """Measure margins, level and durations, and check that a frame has as many samples as the configuration says."""
    speaker = voice.speaker("")
    utterance = voice.compute(voice.reference(), speaker, noisy=False)
    whole = voice.decoder.whole(utterance.frames)
    if whole.size != utterance.samples:
        raise ModelError(
            f"The Piper voice {voice.name}: by hop_length {voice.config.hop} of {config_path.name} the reference has"
            f" {utterance.samples} samples, and the voice makes {whole.size}.",
            remedy=_REMEDY,
        )
    voice.decoder.measure(utterance.frames, whole)
    voice.set_level(speaker, whole)
    voice.measure_rounding(speaker)


def _read_config(piper: Any, path: Path, config_path: Path) -> Any:
    try:
        return piper.PiperConfig.from_dict(json.loads(config_path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"The Piper voice {path.stem}: {config_path} is not a voice's configuration: {error!r}.", remedy=_REMEDY
        ) from error


def _checked(path: Path, config_path: Path, read: Any, graphs: Graphs) -> VoiceConfig:
    """Return the configuration. Raises ModelError when it is unusable, or of another voice than the graph."""
    ids, kind = read.phoneme_id_map, getattr(read.phoneme_type, "value", read.phoneme_type)
    complaint = ""
    if kind not in _PHONEME_TYPES:
        complaint = f"has phonemes of the type {kind}, of {', '.join(_PHONEME_TYPES)}"
    elif missing := [mark for mark in "^_$" if mark not in ids]:
        complaint = f"has no id for {missing[0]!r}"
    elif read.sample_rate not in _RATES:
        complaint = f"has the sample rate {read.sample_rate}"
    elif (read.num_speakers > 1) != graphs.has_speakers:
        complaint = f"has num_speakers {read.num_speakers}, and the voice {'several' if graphs.has_speakers else 'one'}"
    else:
        highest = max(each for own in ids.values() for each in own)
        known = read.num_symbols if graphs.symbols is None else graphs.symbols
        if highest >= known:
            complaint = f"has the phoneme id {highest}, and the voice knows {known}"
    if complaint:
        raise ModelError(
            f"The Piper voice {path.stem}: {config_path.name} does not fit {path}: it {complaint}.", remedy=_REMEDY
        )
    return VoiceConfig(
        sample_rate=int(read.sample_rate),
        hop=int(read.hop_length),
        language=str(read.espeak_voice).lower(),
        phoneme_ids=ids,
        speakers=max(1, int(read.num_speakers)),
        speaker_ids=dict(read.speaker_id_map),
        default_speaker=int(read.default_speaker_id),
        noise_scale=float(read.noise_scale),
        length_scale=float(read.length_scale),
        noise_w_scale=float(read.noise_w_scale),
    )


def _providers(runtime: Any, device: str) -> list[str]:
    cuda = "CUDAExecutionProvider"
    if device == "cpu" or (device == "auto" and cuda not in runtime.get_available_providers()):
        return ["CPUExecutionProvider"]
    if cuda not in runtime.get_available_providers():
        raise EngineUnavailable(
            "tts.device is cuda, and this ONNX Runtime has no CUDA.",
            remedy="Install onnxruntime-gpu instead of onnxruntime, or set tts.device to cpu.",
        )
    return [cuda, "CPUExecutionProvider"]
