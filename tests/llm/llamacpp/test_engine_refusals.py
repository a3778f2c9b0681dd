"""Refused prompts, requests and models: other characters are not affected."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from asking import (
    GREEDY,
    MARLA,
    ODO,
    Internals,
    Start,
    ask,
    read,
    request,
    settle,
    until,
    words,
)

from mythicd.engines.llm import Finished, Sampling, ToolSpec
from mythicd.errors import BusyError, ConfigError, EngineError, ModelError
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.scheduler import Limits

pytestmark = pytest.mark.engine


async def test_prompt_longer_than_the_context_refused_unchanged(start: Start) -> None:
    engine = await start(n_ctx=512)
    await read(engine, request("marla", ask(MARLA, "hello")))
    before = engine.snapshot().sequences
    with pytest.raises(ConfigError, match=r"marla .*\b\d{3,4} .*tiny\.gguf .*\b512\b") as caught:
        await read(engine, request("marla", ask(MARLA, "why? " * 300)))
    assert "gpu.ctx_tokens" in caught.value.remedy
    assert engine.snapshot().sequences == before
    with pytest.raises(ConfigError):
        await engine.attend("marla", ask("x" * 600, "hello"))
    await settle(engine)


async def test_one_reply_too_many_is_busy(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(streams=2, chunk=8, waiting=0))
    long = replace(GREEDY, max_tokens=200)
    others = [asyncio.ensure_future(read(engine, request(name, ask(MARLA, "hi"), long))) for name in ("a", "b")]
    await until(lambda: engine.snapshot().running == 2)
    with pytest.raises(BusyError):
        await read(engine, request("c", ask(MARLA, "hi")))
    for events in await asyncio.gather(*others):
        assert isinstance(events[-1], Finished)
    assert isinstance((await read(engine, request("c", ask(MARLA, "hi"))))[-1], Finished)


async def test_with_a_single_sequence_characters_take_turns(start: Start) -> None:
    engine = await start(n_seq_max=1, limits=Limits(waiting=0))
    reply = engine.generate(request("marla", ask(MARLA, "hi"), replace(GREEDY, max_tokens=400)))
    await anext(reply)
    with pytest.raises(BusyError, match="sequence"):
        await read(engine, request("odo", ask(ODO, "hi")))
    await reply.aclose()
    assert isinstance((await read(engine, request("odo", ask(ODO, "hi"))))[-1], Finished)
    await settle(engine)


async def test_speaking_character_is_not_warmed_up_or_asked_twice(start: Start) -> None:
    engine = await start(limits=Limits(waiting=0))
    reply = engine.generate(request("marla", ask(MARLA, "hi"), replace(GREEDY, max_tokens=400)))
    await anext(reply)
    await engine.attend("marla", ask(MARLA, "hi"))
    with pytest.raises(BusyError, match="marla"):
        await read(engine, request("marla", ask(MARLA, "hi")))
    await reply.aclose()
    assert await read(engine, request("marla", ask(MARLA, "hi")))


async def test_forgetting_a_character_that_speaks_fails_its_reply(start: Start) -> None:
    engine = await start()
    reply = engine.generate(request("marla", ask(MARLA, "hi"), replace(GREEDY, max_tokens=400)))
    await anext(reply)
    await engine.forget("marla")
    with pytest.raises(EngineError, match="marla"):
        async for _ in reply:
            pass
    assert "marla" not in engine.snapshot().sequences
    await settle(engine)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=0), Sampling(repeat_penalty=0.0)])
async def test_impossible_sampling_is_refused(start: Start, sampling: Sampling) -> None:
    with pytest.raises(ConfigError, match="marla"):
        await read(await start(), request("marla", ask(MARLA, "hi"), sampling))


async def test_patience_that_is_not_a_number_refused(start: Start) -> None:
    with pytest.raises(ConfigError, match="patience.*marla"):
        await read(await start(), request("marla", ask(MARLA, "hi"), patience_s=float("nan")))


async def test_a_tool_that_cannot_be_compiled_is_refused_by_name(start: Start) -> None:
    tool = ToolSpec("open_door", "", {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}})
    with pytest.raises(ConfigError, match="open_door"):
        await read(await start(), request("marla", ask(MARLA, "hi"), tools=(tool,)))


@pytest.mark.parametrize("failure", [EngineError("no power"), OSError("no power")])
async def test_failed_step_fails_only_its_streams(
    start: Start, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    engine = await start()
    expected = words(await read(engine, request("marla", ask(MARLA, "hi"))))
    inside = Internals(engine)
    real, calls = inside.context.evaluate, iter((1, 2, 3))

    def failing(parts: Any) -> list[int]:
        rows = real(parts)
        if next(calls, 0) == 3:  # the tokens are in the cache, unknown to the allocator
            raise failure
        return rows

    monkeypatch.setattr(inside.context, "evaluate", failing)
    with pytest.raises(EngineError, match="no power"):
        await read(engine, request("marla", ask(MARLA, "hi")))
    await settle(engine)
    assert words(await read(engine, request("marla", ask(MARLA, "hi")))) == expected


async def test_it_can_be_stopped_twice_and_started_again(start: Start) -> None:
    engine = await start()
    first = words(await read(engine, request("marla", ask(MARLA, "hi"))))
    await engine.park("marla")
    await engine.stop()
    await engine.stop()
    with pytest.raises(EngineError, match="not running"):
        await read(engine, request("marla", ask(MARLA, "hi")))
    await engine.start()
    assert (engine.counters.parks, engine.counters.parked, engine.counters.cells_used) == (1, 0, 0)
    assert words(await read(engine, request("marla", ask(MARLA, "hi")))) == first
    await engine.park("marla")
    assert engine.counters.parks == 2, "counters are never reset"


@pytest.mark.parametrize(
    "options",
    [
        {"n_batch": 15},
        {"n_ctx": 15},
        {"n_seq_max": 600},
        {"limits": Limits(chunk=0)},
        {"limits": Limits(streams=0)},
        {"limits": Limits(slice_tokens=50)},
    ],
)
def test_options_that_clash_are_refused(model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LlamaLlm(model, LlamaOptions(**options))


def truncated(path: Path) -> None:
    data = tiny_gguf.write(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def cut_header(path: Path) -> None:
    path.write_bytes(tiny_gguf.write(path).read_bytes()[:300])


BAD_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "No such file"),
    "a folder": (lambda path: path.mkdir(), "directory"),
    "empty": (lambda path: path.write_bytes(b""), "not a GGUF file"),
    "a PDF": (lambda path: path.write_bytes(b"%PDF-1.7\n" + b"x" * 5000), "not a GGUF file: it begins with b'%PDF'"),
    "only a magic": (lambda path: path.write_bytes(b"GGUF"), "cannot load"),
    "garbage": (lambda path: path.write_bytes(b"GGUF" + random.Random(1).randbytes(5000)), "cannot load"),
    "truncated": (truncated, "cannot load"),
    "cut in its header": (cut_header, "cannot load"),
    "an unknown architecture": (
        lambda path: tiny_gguf.write(path, tiny_gguf.Tiny(architecture="mammoth")),
        "unknown model architecture: 'mammoth'",
    ),
    "a template that fails": (
        lambda path: tiny_gguf.write(path, tiny_gguf.Tiny(template="{{ raise_exception('no chat') }}")),
        "no chat",
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
async def test_a_bad_model_is_a_clear_error_and_nothing_else(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, complaint = BAD_MODELS[kind]
    path = tmp_path / "bad.gguf"
    make(path)
    capfd.readouterr()
    with pytest.raises(ModelError) as caught:
        await LlamaLlm(path).start()
    assert complaint in caught.value.what and caught.value.remedy
    assert capfd.readouterr() == ("", "")
    assert not [thread for thread in threading.enumerate() if thread.name == "mythic-llm"]


async def test_a_context_larger_than_the_memory_is_refused_at_once(model: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.gguf .*\b2147483392 .* GiB.* GiB") as caught:
        await LlamaLlm(model, LlamaOptions(n_ctx=2**31 - 256)).start()
    assert "gpu.ctx_tokens" in caught.value.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory")
def test_memory_that_runs_out_at_start_is_a_clear_error(model: Path) -> None:
    program = """
import asyncio, resource, sys
from pathlib import Path
from mythicd.native import llamacpp
from mythicd.errors import ModelError
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.options import LlamaOptions
llamacpp.backend()
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 2**28
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    asyncio.run(LlamaLlm(Path(sys.argv[1]), LlamaOptions(n_ctx=2**20)).start())
except ModelError as error:
    print(error.what)
"""
    ran = subprocess.run([sys.executable, "-c", program, model], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "tiny.gguf" in ran.stdout and "1048576 tokens" in ran.stdout


async def test_model_without_a_template_uses_chatml(start: Start, tmp_path: Path) -> None:
    engine = await start(tiny_gguf.write(tmp_path / "plain.gguf", tiny_gguf.Tiny(template=None)))
    inside = Internals(engine)
    assert inside.prompts.whole(ask(MARLA, "hi")).tokens[0] == inside.tokenizer.control["<|im_start|>"]
    assert words(await read(engine, request("marla", ask(MARLA, "hi"))))
