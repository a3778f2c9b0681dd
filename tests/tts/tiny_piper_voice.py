"""Makes a Piper voice of 3 kB: the exact interface of a real one, but each phoneme is a tone.

The graph: phoneme ids -> durations in hops of 256 samples (a table, times the length scale, rounded up by the one
`Ceil` node that Piper's alignment patch looks for) -> for each sample the id that sounds -> frequency and loudness
(tables) -> a sine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HOP = 256
RATE = 22_050
VOWELS = "aeiouæɐɑɒɔəɚɛɜɪʊʌ"


def write_voice(path: Path) -> Path:
    """Write NAME.onnx and NAME.onnx.json; return the former's path."""
    from onnx import TensorProto, checker, helper, numpy_helper, save
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP as IDS

    count = max(ids[0] for ids in IDS.values()) + 1
    hops = np.full(count, 5.0, np.float32)
    hops[0], hops[1], hops[2], hops[3] = 0.3, 2.0, 2.0, 3.0  # pad, begin, end, blank
    for vowel in VOWELS:
        hops[IDS[vowel][0]] = 8.0
    hertz = (110 + 300 * np.random.default_rng(0).random(count)).astype(np.float32)
    loudness = np.full(count, 0.3, np.float32)
    loudness[:4] = 0.0

    constants = {
        "hops": hops,
        "hertz": hertz,
        "loudness": loudness,
        "first": np.array(0, np.int64),
        "second": np.array(1, np.int64),
        "axis0": np.array([0], np.int64),
        "axis1": np.array([1], np.int64),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "hop": np.array(HOP, np.int64),
        "radians": np.array(2 * np.pi / RATE, np.float32),
        "flat": np.array([-1], np.int64),
        "row": np.array([1, 1, -1], np.int64),
        "wave": np.array([1, 1, 1, -1], np.int64),
    }

    def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
        return helper.make_node(operator, inputs.split(), [output], **attributes)

    nodes = [
        node("Reshape", "input flat", "ids"),
        node("Gather", "scales second", "length_scale"),
        node("Gather", "hops ids", "plain"),
        node("Mul", "plain length_scale", "scaled"),
        node("Reshape", "scaled row", "scaled_row"),
        node("Ceil", "scaled_row", "w_ceil"),
        node("Reshape", "w_ceil flat", "whole_hops"),
        node("Cast", "whole_hops", "hop_counts", to=TensorProto.INT64),
        node("Mul", "hop_counts hop", "durations"),
        node("CumSum", "durations first", "ends"),
        node("ReduceSum", "durations", "total", keepdims=0),
        node("Range", "zero total one", "time"),
        node("Unsqueeze", "time axis1", "time_column"),
        node("Unsqueeze", "ends axis0", "ends_row"),
        node("GreaterOrEqual", "time_column ends_row", "passed"),
        node("Cast", "passed", "passed_counts", to=TensorProto.INT64),
        node("ReduceSum", "passed_counts axis1", "position", keepdims=0),
        node("Gather", "ids position", "sounding"),
        node("Gather", "hertz sounding", "pitch"),
        node("Gather", "loudness sounding", "level"),
        node("CumSum", "pitch first", "phase"),
        node("Mul", "phase radians", "angle"),
        node("Sin", "angle", "sine"),
        node("Mul", "sine level", "sound"),
        node("Reshape", "sound wave", "output"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_voice",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "time"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    checker.check_model(model)
    save(model, str(path))
    config = {
        "audio": {"sample_rate": RATE, "quality": "tiny"},
        "espeak": {"voice": "en-us"},
        "phoneme_type": "espeak",
        "num_symbols": count,
        "num_speakers": 1,
        "speaker_id_map": {},
        "hop_length": HOP,
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": IDS,
    }
    Path(f"{path}.json").write_text(json.dumps(config), encoding="utf-8")
    return path
