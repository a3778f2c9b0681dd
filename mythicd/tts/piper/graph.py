"""The graph of a Piper voice (VITS, exported to ONNX), cut into a front and the stages that make its frames sound.

The front (text encoder, durations, noise) needs the whole sentence. The flow and the vocoder (HiFi-GAN) are
convolutions over frames with a bounded view, so they can run on a part of the frames. Both cuts are found by structure:
the first where the noise of the prior is added (`mean + noise * deviation * scale`), the second at the last place in
front of the vocoder's first ConvTranspose through which everything passes. See docs/tts.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

_MOST_FACTORS: Final = 3
"""Most multiplications between the prior's noise and its sum with the mean: deviation, noise_scale, a mask."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the graph that turns frames into frames, or into samples."""

    model: bytes
    frames: str
    """Name of its input that the stage before it makes, shape [1, channels, frames]."""
    sides: tuple[str, ...]
    """Names of its other inputs, which the front makes: the mask of the frames, a speaker's embedding."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """A voice's graph as it is run."""

    front: bytes
    outputs: tuple[str, ...]
    """Names of the front's outputs: the prior and the side values of all stages (uncut: the audio), the durations."""
    stages: tuple[Stage, ...]
    """Flow and vocoder; one stage where only the first cut was found, none where no cut was found."""
    symbols: int | None
    """Rows of the table of phoneme ids; None where there is no such table."""
    has_speakers: bool
    """Whether the graph has an input for the speaker."""


def cut(model: Any, onnx: Any) -> Graphs:
    """Return the graphs of a loaded ONNX model; `onnx` is the package, and `model` is changed.

    Raises ValueError when the durations are not found, or a value at a cut has no known type.
    """
    audio = str(model.graph.output[0].name)
    inputs = [str(value.name) for value in model.graph.input]
    durations = _durations(model, onnx)
    symbols, has_speakers = _symbols(model), "sid" in inputs
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    seams = _seams(nodes, audio)
    parts = list(pairwise([*seams, audio]))
    sides = [_sides(nodes, start, end, inputs) for start, end in parts]
    if not seams or None in sides:
        return Graphs(_extract(model, onnx, inputs, (audio, durations)), (audio, durations), (), symbols, has_speakers)
    given = [side or () for side in sides]
    described = {value.name for value in model.graph.value_info}
    if not described.issuperset((*seams, *(name for names in given for name in names))):
        model = onnx.shape_inference.infer_shapes(model)
    outputs = tuple(dict.fromkeys((seams[0], *(name for names in given for name in names), durations)))
    stages = tuple(
        Stage(_extract(model, onnx, [start, *names], (end,)), start, names)
        for (start, end), names in zip(parts, given, strict=True)
    )
    return Graphs(_extract(model, onnx, inputs, outputs), outputs, stages, symbols, has_speakers)


def _extract(model: Any, onnx: Any, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return the part of the graph between these values."""
    part = onnx.utils.Extractor(model).extract_model(list(inputs), list(outputs))
    return bytes(part.SerializeToString())


def _durations(model: Any, onnx: Any) -> str:
    """Return the name of the durations, which become an output: the second one, or the result of the only Ceil."""
    if len(model.graph.output) > 1:
        return str(model.graph.output[1].name)
    ceils = [node for node in model.graph.node if node.op_type == "Ceil"]
    if len(ceils) != 1:
        raise ValueError(f"its graph has {len(ceils)} operations Ceil, of which one gives the durations")
    name = str(ceils[0].output[0])
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return name


def _symbols(model: Any) -> int | None:
    """Return how many phoneme ids the graph knows."""
    rows = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    first = model.graph.input[0].name
    tables = [node.input[0] for node in model.graph.node if node.op_type == "Gather" and node.input[1] == first]
    return int(rows[tables[0]]) if len(tables) == 1 and tables[0] in rows else None


def _seams(nodes: Sequence[Any], audio: str) -> list[str]:
    """Return the names of the values to cut at, in order; none when the first cut is not found, or ambiguous."""
    readers: dict[str, list[Any]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = [
        prior for node in nodes if node.op_type == "RandomNormalLike" and (prior := _prior(node, readers)) is not None
    ]
    if len(found) != 1 or audio not in _reached(found, readers):
        return []
    hidden = _bottleneck(nodes, found[0], readers)
    return found if hidden is None else [found[0], hidden]


def _prior(noise: Any, readers: Mapping[str, list[Any]]) -> str | None:
    """Follow the noise through its factors to the sum with the mean, which has the noise's shape."""
    name = str(noise.output[0])
    for _ in range(_MOST_FACTORS + 1):
        users = readers.get(name, [])
        if len(users) != 1:
            return None
        name = str(users[0].output[0])
        if users[0].op_type == "Add":
            return name if noise.input[0] in users[0].input else None
        if users[0].op_type != "Mul":
            return None
    return None


def _bottleneck(nodes: Sequence[Any], start: str, readers: Mapping[str, list[Any]]) -> str | None:
    """Return the last value in front of the first ConvTranspose through which everything from `start` passes."""
    after = _reached((start,), readers)
    unread = {name: sum(1 for node in readers.get(name, ()) for each in node.input if each == name) for name in after}
    live, found = {start}, None
    for node in nodes:  # in the order of computation
        used = [name for name in node.input if name in after]
        if not used:
            continue
        if node.op_type == "ConvTranspose":
            return found
        for name in used:
            unread[name] -= 1
        live = {name for name in live | {*node.output} if unread.get(name)}
        if len(live) == 1:
            found = next(iter(live))
    return None


def _sides(nodes: Sequence[Any], start: str, end: str, inputs: Sequence[str]) -> tuple[str, ...] | None:
    """Return the values besides `start` that the part up to `end` needs and the front computes from the inputs.

    None when it needs an input of the graph itself, which ties it to the text.
    """
    readers: dict[str, list[Any]] = {}
    producer = {name: node for node in nodes for name in node.output}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    after, computed = _reached((start,), readers), _reached(inputs, readers)
    part: dict[str, None] = {}
    seen, todo = {end}, [end]
    while todo:
        for name in producer[todo.pop()].input:
            if name in seen or name == start or name not in computed:
                continue
            seen.add(name)
            if name in after:
                todo.append(name)
            else:
                part[name] = None
    return None if any(name in inputs for name in part) else tuple(sorted(part))


def _reached(starts: Iterable[str], readers: Mapping[str, list[Any]]) -> set[str]:
    """Return all values that depend on any of these, with them."""
    reached = set(starts)
    todo = list(reached)
    while todo:
        for node in readers.get(todo.pop(), ()):
            for name in node.output:
                if name not in reached:
                    reached.add(name)
                    todo.append(name)
    return reached
