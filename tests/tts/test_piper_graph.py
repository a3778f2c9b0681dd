"""The graph of a Piper voice, cut by its structure: a real export, and graphs that can be cut in part or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_piper_voice import Kind, real_voice, write_voice

from mythicd.errors import ModelError
from mythicd.tts.piper.graph import Graphs, cut
from mythicd.tts.piper.loading import load_voice
from mythicd.tts.piper.pieces import Piece
from mythicd.tts.piper.voice import LoadedVoice

pytestmark = pytest.mark.engine


def load(path: Path) -> LoadedVoice:
    return load_voice(path, threads=1, device="cpu")


def cut_file(path: Path) -> Graphs:
    import onnx.utils

    return cut(onnx.load(str(path)), onnx)


def test_a_real_voice_is_cut_into_front_flow_and_vocoder() -> None:
    graphs = cut_file(real_voice())
    flow, vocoder = graphs.stages
    assert (len(flow.sides), len(vocoder.sides)) == (1, 0), "the mask of the frames goes to the flow alone"
    assert graphs.outputs[0] == flow.frames and set(flow.sides) < set(graphs.outputs)
    assert graphs.symbols == 256 and not graphs.has_speakers
    sizes = [len(graphs.front), len(flow.model), len(vocoder.model)]
    assert sum(sizes) == pytest.approx(real_voice().stat().st_size, rel=0.02), "no weights twice"


@pytest.mark.parametrize(
    ("kind", "speakers", "stages"),
    [
        ("seam", (), [("prior", ("mask",)), ("hidden", ())]),
        ("seam", ("anna", "bob"), [("prior", ("mask", "voice")), ("hidden", ())]),
        ("unbounded", (), [("prior", ("mask",)), ("hidden", ())]),
        ("two_noises", (), []),
        ("tone", (), []),
    ],
)
def test_cuts_are_found_by_structure(tmp_path: Path, kind: Kind, speakers: tuple[str, ...], stages: list[Any]) -> None:
    graphs = cut_file(write_voice(tmp_path / "tiny.onnx", kind, speakers=speakers))
    assert [(stage.frames, stage.sides) for stage in graphs.stages] == stages
    assert graphs.has_speakers == bool(speakers)


def test_cuts_need_no_described_values(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(write_voice(tmp_path / "tiny.onnx", "seam")))
    del model.graph.value_info[:]
    onnx.save(model, str(tmp_path / "tiny.onnx"))
    assert load(tmp_path / "tiny.onnx").decoder.in_pieces


@pytest.mark.parametrize(
    ("kind", "notice"),
    [("tone", "graph cannot be cut"), ("two_noises", "graph cannot be cut"), ("unbounded", "needs all frames")],
)
def test_a_voice_that_cannot_be_cut_speaks_whole(tmp_path: Path, kind: Kind, notice: str) -> None:
    voice = load(write_voice(tmp_path / "tiny.onnx", kind))
    assert notice in voice.decoder.notice
    utterance = voice.compute(voice.reference(), 0)
    assert utterance.pieces == (Piece(0, utterance.frames.count),)
    samples = voice.samples(utterance, utterance.pieces[0], 0)
    assert len(samples) == utterance.samples > 22_050 and np.abs(samples).max() > 5000


def test_margins_are_measured_for_each_voice(tmp_path: Path) -> None:
    voice = load(write_voice(tmp_path / "tiny.onnx", "seam"))
    assert [stage.margin for stage in voice.decoder.stages] == [6, 6]
    assert not voice.decoder.notice


def test_speakers_sound_different_and_have_one_level(tmp_path: Path) -> None:
    voice = load(write_voice(tmp_path / "tiny.onnx", "seam", speakers=("anna", "bob")))
    found = []
    for number in (0, 1):
        utterance = voice.compute(voice.reference(), number, noisy=False)
        pieces = [voice.samples(utterance, piece, number) for piece in utterance.pieces]
        found.append(np.concatenate(pieces).astype(np.float64))
    assert np.corrcoef(found[0], found[1])[0, 1] < 0.99
    assert [np.abs(each).max() / 32767 for each in found] == pytest.approx([0.6, 0.6], abs=0.01)


def test_speakers_are_found_by_name_and_number(tmp_path: Path) -> None:
    names = tuple(f"speaker_{number}" for number in range(20))
    voice = load(write_voice(tmp_path / "tiny.onnx", "seam", speakers=names, default_speaker_id=3))
    assert [voice.speaker(name) for name in ("", "speaker_7", "19")] == [3, 7, 19]
    for name in ("karl", "20", "-1", "²"):
        with pytest.raises(ModelError, match=r"tiny has no speaker '.*speaker_11 and 8 more\.$"):
            voice.speaker(name)


def test_a_voice_of_one_speaker_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no speaker 'anna'.*Leave `speaker` out"):
        load(write_voice(tmp_path / "tiny.onnx", "seam")).speaker("anna")


# --- files that are wrong ---------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no file .*tiny\.onnx\. "):
        load(tmp_path / "tiny.onnx")
    write_voice(tmp_path / "tiny.onnx").with_name("tiny.onnx.json").unlink()
    with pytest.raises(ModelError, match=r"no file .*tiny\.onnx\.json\. "):
        load(tmp_path / "tiny.onnx")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_model_is_named(tmp_path: Path, share: float) -> None:
    path = write_voice(tmp_path / "tiny.onnx", "seam")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"tiny\.onnx .*Download both"):
        load(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"audio": 3}', "\xff"])
def test_a_damaged_configuration_is_named(tmp_path: Path, content: str) -> None:
    path = write_voice(tmp_path / "tiny.onnx", "seam")
    Path(f"{path}.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"tiny\.onnx\.json is not a voice's configuration"):
        load(path)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"phoneme_id_map": {"^": [1], "_": [0], "$": [2], "a": [400]}}, "phoneme id 400, and the voice knows"),
        ({"phoneme_id_map": {"^": [1], "_": [0]}}, r"no id for '\$'"),
        ({"num_speakers": 4}, "num_speakers 4, and the voice one"),
        ({"audio": {"sample_rate": 22}}, "sample rate 22"),
        ({"hop_length": 128}, "by hop_length 128 .* the voice makes"),
        ({"phoneme_type": "pinyin"}, "phonemes of the type pinyin"),
    ],
)
def test_the_configuration_of_another_voice_is_refused(tmp_path: Path, config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint) as found:
        load(write_voice(tmp_path / "tiny.onnx", "seam", **config))
    assert "tiny.onnx.json" in str(found.value)


def test_a_graph_that_is_no_voice_is_refused(tmp_path: Path) -> None:
    import onnx

    path = write_voice(tmp_path / "tiny.onnx", "seam")
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.op_type = "Floor" if node.op_type == "Ceil" else node.op_type
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="0 operations Ceil"):
        load(path)
