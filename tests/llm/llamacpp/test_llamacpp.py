"""The native library: which builds are safe, and that it writes nothing by itself."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import tiny_gguf

from mythicd.llm.llamacpp.context import Model
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.native import llamacpp
from mythicd.native.llamacpp import backend

NATIVE = "CPU : SSE3 = 1 | AVX512 = 1 | AMX_INT8 = 1 | REPACK = 1 | "
PORTABLE = "CPU : SSE3 = 1 | AVX2 = 1 | REPACK = 1 | "
XEON = frozenset({"avx2", "amx_int8", "amx_tile"})
OLDER = frozenset({"avx2"})


@pytest.mark.parametrize(
    ("info", "flags", "machine", "expected"),
    [
        (NATIVE, XEON, "x86_64", True),
        (NATIVE, OLDER, "x86_64", False),
        (NATIVE, None, "AMD64", True),
        (PORTABLE, XEON, "x86_64", False),
        (PORTABLE, None, "AMD64", False),
        ("", XEON, "x86_64", True),
        ("", None, "AMD64", True),
        ("", None, "arm64", False),
    ],
)
def test_amx_is_avoided_wherever_it_might_be_used(
    info: str, flags: frozenset[str] | None, machine: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert llamacpp.amx_in_use(info, flags) is expected


@pytest.mark.engine
def test_the_parameters_follow_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp, "cpu_flags", lambda: XEON)
    for info, extra in ((NATIVE, False), (PORTABLE, True)):
        monkeypatch.setattr(llamacpp, "system_info", lambda info=info: info)
        assert llamacpp.model_params().use_extra_bufts is extra


@pytest.mark.engine
def test_the_native_log_goes_to_pythons_log_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    caplog.set_level(logging.DEBUG, logger="mythicd.native.llamacpp")
    capfd.readouterr()
    Model(path, LlamaOptions()).close()
    assert capfd.readouterr() == ("", "")
    assert any("llama" in record.getMessage() for record in caplog.records)


@pytest.mark.engine
def test_texts_of_tokens(tmp_path: Path) -> None:
    tags = ("<tool_call>", "</tool_call>")
    specials = (*tiny_gguf.SPECIALS, "<|1|>", *tags)  # tags that are control tokens are part of the text all the same
    model = Model(tiny_gguf.write(tmp_path / "tiny.gguf", tiny_gguf.Tiny(specials=specials)), LlamaOptions())
    tokenizer = model.tokenizer
    tokens = tokenizer.tokenise("<|1|>Où? 🍺<tool_call>\n</tool_call><|im_end|>")
    assert b"".join(map(tokenizer.piece, tokens)).decode() == "Où? 🍺<tool_call>\n</tool_call>"
    assert tokenizer.control["<|1|>"] == tokens[0] and tokens[-1] in tokenizer.ends
    assert tokenizer.tokenise("") == []
    model.close()


@pytest.mark.engine
@pytest.mark.parametrize("control", [False, True])
def test_thoughts_are_seen_as_text_whatever_their_tags_are(tmp_path: Path, control: bool) -> None:
    tags = ("<think>", "</think>", "[THINK]", "[/THINK]")
    tiny = tiny_gguf.Tiny(specials=(*tiny_gguf.SPECIALS, *tags)) if control else tiny_gguf.Tiny(tags=tags)
    model = Model(tiny_gguf.write(tmp_path / "tiny.gguf", tiny), LlamaOptions())
    for tag in tags:
        [token] = model.tokenizer.tokenise(tag)
        assert model.tokenizer.piece(token).decode() == tag and model.tokenizer.control[tag] == token
    model.close()


@pytest.mark.engine
@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_comma_is_no_control_token_where_the_model_names_none(tmp_path: Path, adds_bos: bool) -> None:
    """llama.cpp's default of a BPE vocabulary's bos and eos is token 11: "," in Qwen's."""
    tiny = tiny_gguf.Tiny(bos=None, eos=None, eleventh=",", adds_bos=adds_bos)
    model = Model(tiny_gguf.write(tmp_path / "tiny.gguf", tiny), LlamaOptions())
    tokenizer = model.tokenizer
    assert tokenizer.tokenise(",") == [11]
    assert backend().llama_vocab_bos(tokenizer.pointer) == backend().llama_vocab_eos(tokenizer.pointer) == 11
    assert (tokenizer.bos, tokenizer.eos, tokenizer.adds_bos) == ("", "", False)
    assert "," not in tokenizer.control and 11 not in tokenizer.ends
    assert tokenizer.control["<|im_end|>"] in tokenizer.ends, "which llama.cpp knows by its text"
    model.close()


@pytest.mark.engine
def test_bos_and_eos_are_what_the_model_names(tmp_path: Path) -> None:
    tiny = tiny_gguf.Tiny(bos="<b>", eos="</b>", tags=("<b>", "</b>"), eleventh=",", adds_bos=True)
    model = Model(tiny_gguf.write(tmp_path / "tiny.gguf", tiny), LlamaOptions())
    tokenizer = model.tokenizer
    assert (tokenizer.bos, tokenizer.eos, tokenizer.adds_bos) == ("<b>", "</b>", True)
    assert tokenizer.control["</b>"] in tokenizer.ends and {"<b>", "<|im_end|>"} <= tokenizer.control.keys()
    model.close()


@pytest.mark.engine
def test_what_a_file_names_is_eos_whatever_it_says_of_that_token(tmp_path: Path) -> None:
    """Old files tell no token from another: all are normal."""
    model = Model(tiny_gguf.write(tmp_path / "tiny.gguf", tiny_gguf.Tiny(bos="$", eos="~")), LlamaOptions())
    tokenizer = model.tokenizer
    assert (tokenizer.bos, tokenizer.eos) == ("$", "~")
    assert tokenizer.control["~"] in tokenizer.ends
    model.close()


@pytest.mark.engine
def test_user_defined_tokens_that_frame_messages_count_as_control_tokens(tmp_path: Path) -> None:
    tags = ("[INST]", "[/INST]", "<|user|>", "<b>", "<tool_call>", " friend")
    model = Model(tiny_gguf.write(tmp_path / "tiny.gguf", tiny_gguf.Tiny(tags=tags)), LlamaOptions())
    assert model.tokenizer.control.keys() == {*tiny_gguf.SPECIALS, "[INST]", "[/INST]", "<|user|>"}
    model.close()
