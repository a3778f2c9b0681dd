"""The engine on real llama.cpp, with models of noise: what is kept, what is freed, what is refused."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import tiny_gguf

from mythicd.engines import (
    ChatMessage,
    Finished,
    InlineCall,
    LlmEvent,
    LlmRequest,
    PrefillDone,
    Prompt,
    Sampling,
    TextDelta,
    ToolSpec,
)
from mythicd.errors import Busy, ConfigError, EngineError, ModelError
from mythicd.llm.engine import LlamaLlm
from mythicd.llm.llama import LlamaOptions
from mythicd.llm.loop import Pump
from mythicd.llm.scheduler import Limits
from mythicd.llm.schema import misfit, read_tool

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0, max_tokens=24)
WORLD = "You are a character in Lanternport.\n## Rules\n- Never name the Keeper.\n- Stay polite."
MARLA = "\n\nYou are Marla, barkeep of the Blue Lantern. Style: warm."
ODO = "\n\nYou are Odo, smuggler and friend of cats. Style: terse."

Start = Callable[..., Awaitable[LlamaLlm]]


def user(words: str) -> ChatMessage:
    return ChatMessage("user", words)


def said(words: str) -> ChatMessage:
    return ChatMessage("assistant", words)


def ask(character: str, words: str, history: tuple[ChatMessage, ...] = ()) -> Prompt:
    return Prompt(WORLD, character, history, (user(f"## Lore\n- The market is east.\n## Player\n{words}"),))


def request(npc_id: str, prompt: Prompt, sampling: Sampling = GREEDY, tools: tuple[ToolSpec, ...] = ()) -> LlmRequest:
    return LlmRequest(npc_id, "turn", prompt, tools, sampling)


async def read(engine: LlamaLlm, wanted: LlmRequest) -> list[LlmEvent]:
    return [event async for event in engine.generate(wanted)]


def words(events: list[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def finished(events: list[LlmEvent]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def pump(engine: LlamaLlm) -> Pump:
    assert engine._pump is not None
    return engine._pump


async def settle(engine: LlamaLlm) -> None:
    """Wait until the pump has taken note of every cancellation, and check its books against llama.cpp's."""
    await engine.forget("nobody")
    inside = pump(engine)
    assert not inside._jobs and not len(inside._scheduler)
    inside._ledger.check()
    assert inside._context is not None
    held = inside._ledger.sequences()
    for sequence, size in held.values():
        assert inside._context.last_position(sequence) == size - 1
    free = set(range(inside._options.n_seq_max)) - {sequence for sequence, _ in held.values()}
    assert all(inside._context.last_position(sequence) == -1 for sequence in free)


async def until(happened: Callable[[], bool]) -> None:
    """Give way until something has happened in the pump's thread."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110  (the pump has no event for what it does inside)
            await asyncio.sleep(0)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
async def start(model: Path) -> AsyncIterator[Start]:
    """Start engines that are stopped, in the end, with their books in order and their threads gone."""
    engines: list[LlamaLlm] = []

    async def begin(path: Path = model, **options: Any) -> LlamaLlm:
        engine = LlamaLlm(path, LlamaOptions(**{"n_ctx": 1024, **options}))
        await engine.start()
        engines.append(engine)
        return engine

    yield begin
    for engine in engines:
        await engine.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "mythic-llm"]


# --- what is kept ----------------------------------------------------------------------------------------------------


async def test_a_reply_is_prefill_words_end(start: Start) -> None:
    events = await read(await start(), request("marla", ask(MARLA, "hello")))
    assert isinstance(events[0], PrefillDone) and isinstance(events[-1], Finished)
    assert all(isinstance(event, TextDelta) for event in events[1:-1]) and words(events)
    assert finished(events) == Finished(
        "length", events[0].evaluated_tokens, events[0].evaluated_tokens, GREEDY.max_tokens
    )


async def test_the_same_prompt_again_evaluates_one_token_and_says_the_same(start: Start) -> None:
    engine = await start()
    first = await read(engine, request("marla", ask(MARLA, "hello")))
    second = await read(engine, request("marla", ask(MARLA, "hello")))
    assert finished(second).evaluated_tokens == 1
    assert words(second) == words(first)


async def test_a_later_turn_evaluates_what_is_new_and_says_what_it_would_have_said_anew(start: Start) -> None:
    engine = await start()
    first = await read(engine, request("marla", ask(MARLA, "hello")))
    later = ask(MARLA, "and the market?", (user("hello"), said(words(first))))
    events = await read(engine, request("marla", later))
    tokens = pump(engine)._prompts
    new = len(tokens.whole(later)[0]) - len(tokens.front(ask(MARLA, ""))[0])
    assert finished(events).evaluated_tokens <= new + 1
    await engine.forget("marla")
    anew = await read(engine, request("marla", later))
    assert finished(anew).evaluated_tokens == finished(anew).prompt_tokens
    assert words(anew) == words(events)


async def test_a_warm_up_leaves_only_the_turn_to_be_evaluated(start: Start) -> None:
    engine = await start()
    prompt = ask(MARLA, "hello", (user("good evening"), said("evening, friend")))
    await engine.attend("marla", prompt)
    await engine.attend("marla", prompt)
    front, whole = (pump(engine)._prompts.front(prompt)[0], pump(engine)._prompts.whole(prompt)[0])
    assert pump(engine)._ledger.tokens("marla") == tuple(front)
    events = await read(engine, request("marla", prompt))
    assert finished(events).evaluated_tokens == len(whole) - len(front)
    await settle(engine)


async def test_the_world_is_evaluated_once_for_all_characters(start: Start) -> None:
    engine = await start()
    marla = finished(await read(engine, request("marla", ask(MARLA, "hello"))))
    odo = finished(await read(engine, request("odo", ask(ODO, "hello"))))
    world = len(pump(engine)._vocabulary.tokenise(f"<|im_start|>system\n{WORLD}"))
    assert marla.evaluated_tokens == marla.prompt_tokens
    assert odo.evaluated_tokens <= odo.prompt_tokens - world + 1
    await settle(engine)


async def test_two_characters_turn_by_turn_say_what_each_says_alone(start: Start) -> None:
    """The batches are the same in both runs; only what else lies in the cache differs."""

    async def evening(engine: LlamaLlm, names: list[str]) -> dict[str, list[str]]:
        said_by: dict[str, list[str]] = {name: [] for name in names}
        for turn in range(4):
            for name in names:
                history = tuple(m for line in said_by[name] for m in (user("so?"), said(line)))
                prompt = replace(ask(name, f"question {turn}", history), world="Each has a world of its own. " + name)
                said_by[name].append(words(await read(engine, request(name, prompt))))
        return said_by

    together = await evening(await start(), ["Marla", "Odo"])
    for name in ("Marla", "Odo"):
        alone = await evening(await start(), [name])
        assert together[name] == alone[name]
        assert len(set(alone[name])) == 4


async def test_many_at_once_keep_their_books(start: Start) -> None:
    engine = await start(n_ctx=2048)
    requests = [request(f"npc{n}", ask(f"\n\nYou are number {n}.", f"question {n}")) for n in range(8)]
    for events in await asyncio.gather(*(read(engine, wanted) for wanted in requests)):
        assert finished(events).generated_tokens == GREEDY.max_tokens or finished(events).reason == "stop"
    await settle(engine)


async def test_sampling_follows_its_seed(start: Start) -> None:
    engine = await start()
    warm = Sampling(temperature=1.0, top_p=0.95, max_tokens=20)
    said_with = {
        seed: [words(await read(engine, request("marla", ask(MARLA, "hello"), replace(warm, seed=seed)))) for _ in "ab"]
        for seed in (1, 2)
    }
    assert said_with[1][0] == said_with[1][1] and said_with[2][0] == said_with[2][1]
    assert said_with[1][0] != said_with[2][0]


async def test_a_stop_string_ends_the_reply(start: Start) -> None:
    engine = await start()
    whole = words(await read(engine, request("marla", ask(MARLA, "hello"))))
    stop = whole[6:9]
    events = await read(engine, request("marla", ask(MARLA, "hello"), replace(GREEDY, stop=(stop,))))
    assert finished(events).reason == "stop" and words(events) == whole[: whole.index(stop)]


@pytest.mark.parametrize("quant", ["Q8_0", "Q4_0"])
@pytest.mark.parametrize("options", [{}, {"kv_unified": False, "n_seq_max": 8, "n_ctx": 4096}, {"kv_q8": True}])
async def test_quantised_weights_and_other_caches(
    start: Start, tmp_path: Path, quant: str, options: dict[str, Any]
) -> None:
    """On a CPU with AMX these are the models that end the process unless they are loaded with care."""
    tiny = tiny_gguf.Tiny(quant=gguf.GGMLQuantizationType[quant])
    engine = await start(tiny_gguf.write(tmp_path / "tiny.gguf", tiny), **options)
    first = await read(engine, request("marla", ask(MARLA, "hello")))
    await read(engine, request("odo", ask(ODO, "hello")))
    again = await read(engine, request("marla", ask(MARLA, "hello")))
    assert words(again) == words(first) and finished(again).evaluated_tokens == 1
    await settle(engine)


async def test_the_tokens_of_the_segments_are_those_of_the_whole_text(start: Start) -> None:
    inside = pump(await start())
    prompt = ask(MARLA, "où est «Odo»? 🍺", (user("a\n\nb"), said(' c "d". ')))
    text = "".join(segment.text for segment in inside._prompts._template.render(prompt))
    assert inside._prompts.whole(prompt)[0] == inside._vocabulary.tokenise(text)
    ends = [inside._vocabulary.control[marker] for marker in ("<|im_start|>", "<|im_end|>")]
    assert sum(token in ends for token in inside._prompts.whole(prompt)[0]) == 9


# --- what is cancelled -----------------------------------------------------------------------------------------------


async def test_closing_a_reply_in_its_middle_frees_the_sequence(start: Start) -> None:
    engine = await start()
    whole = words(await read(engine, request("marla", ask(MARLA, "hello"))))
    reply = engine.generate(request("marla", ask(MARLA, "hello"), replace(GREEDY, max_tokens=500)))
    async for event in reply:
        if isinstance(event, TextDelta):
            break
    await reply.aclose()
    await settle(engine)
    assert words(await read(engine, request("marla", ask(MARLA, "hello")))) == whole


async def test_closing_a_reply_while_its_prompt_is_evaluated_keeps_what_was_done(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(chunk=4, chunk_alone=4))
    prompt = ask(MARLA, "why? " * 200)
    task = asyncio.ensure_future(read(engine, request("marla", prompt)))
    await until(lambda: bool(pump(engine)._ledger.tokens("marla")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(engine)
    done = len(pump(engine)._ledger.tokens("marla"))
    events = await read(engine, request("marla", prompt))
    assert 0 < done < finished(events).prompt_tokens
    assert finished(events).evaluated_tokens == finished(events).prompt_tokens - done


async def test_two_hundred_cancels_leak_no_cell(start: Start) -> None:
    engine = await start(n_ctx=768, n_seq_max=6, limits=Limits(streams=6, chunk=8, chunk_alone=16))
    dice = random.Random(7)

    async def interrupted(number: int) -> None:
        name = f"npc{number % 9}"
        prompt = ask(f"\n\nYou are {name}.", "why? " * dice.randrange(30))
        reply = engine.generate(request(name, prompt, replace(GREEDY, max_tokens=dice.randrange(1, 60))))
        left = dice.randrange(12)
        try:
            async for _ in reply:
                left -= 1
                if left < 0:
                    break
        except Busy:
            pass
        finally:
            await reply.aclose()

    for first in range(0, 200, 4):
        await asyncio.gather(*(interrupted(number) for number in range(first, first + 4)))
    await settle(engine)

    # And the cache can still be filled to its last cell.
    inside = pump(engine)
    fixed = len(inside._prompts.whole(Prompt("", "", (), (user(""),)))[0])
    size = inside._ledger.cells
    events = await read(engine, request("last", Prompt("", "", (), (user("z" * (size - 1 - fixed)),)),
                                        replace(GREEDY, max_tokens=50)))  # fmt: skip
    assert finished(events).prompt_tokens == size - 1
    assert finished(events).generated_tokens == 1 and finished(events).reason == "length"
    events = await read(engine, request("last", Prompt("", "", (), (user("z" * (size - 2 - fixed)),)),
                                        replace(GREEDY, max_tokens=2)))  # fmt: skip
    assert finished(events).generated_tokens == 2 or finished(events).reason == "stop"
    await settle(engine)


async def test_the_engine_stops_within_a_long_prefill(start: Start, tmp_path: Path) -> None:
    """One step of about a second: the stop comes from within it."""
    big = tiny_gguf.Tiny(width=512, layers=8, heads=8, kv_heads=8, feed_forward=2048, context=8192)
    path = tiny_gguf.write(tmp_path / "big.gguf", big)
    engine = await start(path, n_ctx=4096, n_batch=4096, limits=Limits(streams=1, chunk=4000, chunk_alone=4000))
    task = asyncio.ensure_future(read(engine, request("marla", ask(MARLA, "why? " * 700))))
    await asyncio.sleep(0.1)
    assert not task.done()
    began = time.perf_counter()
    await engine.stop()
    took = time.perf_counter() - began
    with pytest.raises(EngineError, match="stopped"):
        await task
    assert took < 0.2


# --- what is refused -------------------------------------------------------------------------------------------------


async def test_a_prompt_longer_than_the_context_is_refused_before_anything_is_lost(start: Start) -> None:
    engine = await start(n_ctx=512)
    await read(engine, request("marla", ask(MARLA, "hello")))
    before = pump(engine)._ledger.sequences()
    with pytest.raises(ConfigError, match=r"prompt of marla has \d+ tokens; tiny.gguf takes 512") as caught:
        await read(engine, request("marla", ask(MARLA, "why? " * 300)))
    assert "n_ctx" in caught.value.remedy
    assert pump(engine)._ledger.sequences() == before
    with pytest.raises(ConfigError):
        await engine.attend("marla", ask("x" * 600, "hello"))
    await settle(engine)


async def test_one_reply_too_many_is_busy_and_the_others_go_on(start: Start) -> None:
    engine = await start(n_ctx=2048, limits=Limits(streams=2, chunk=8, chunk_alone=8))
    long = replace(GREEDY, max_tokens=200)
    others = [asyncio.ensure_future(read(engine, request(name, ask(MARLA, "hi"), long))) for name in ("a", "b")]
    await until(lambda: len(pump(engine)._jobs) == 2)
    with pytest.raises(Busy):
        await read(engine, request("c", ask(MARLA, "hi")))
    for events in await asyncio.gather(*others):
        assert isinstance(events[-1], Finished)
    assert isinstance((await read(engine, request("c", ask(MARLA, "hi"))))[-1], Finished)


async def test_a_character_that_speaks_is_not_warmed_up_nor_asked_twice(start: Start) -> None:
    engine = await start()
    reply = engine.generate(request("marla", ask(MARLA, "hi"), replace(GREEDY, max_tokens=400)))
    await anext(reply)
    await engine.attend("marla", ask(MARLA, "hi"))
    with pytest.raises(Busy, match="marla"):
        await read(engine, request("marla", ask(MARLA, "hi")))
    await reply.aclose()
    assert await read(engine, request("marla", ask(MARLA, "hi")))


async def test_forgetting_a_character_that_speaks_fails_its_reply(start: Start) -> None:
    engine = await start()
    reply = engine.generate(request("marla", ask(MARLA, "hi"), replace(GREEDY, max_tokens=400)))
    await anext(reply)
    await engine.forget("marla")
    with pytest.raises(EngineError, match="marla was taken out"):
        async for _ in reply:
            pass
    assert "marla" not in pump(engine)._ledger.sequences()
    await settle(engine)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=0), Sampling(repeat_penalty=0.0)])
async def test_impossible_sampling_is_refused(start: Start, sampling: Sampling) -> None:
    with pytest.raises(ConfigError, match="marla"):
        await read(await start(), request("marla", ask(MARLA, "hi"), sampling))


async def test_a_tool_that_cannot_be_compiled_is_refused_by_name(start: Start) -> None:
    tool = ToolSpec("open_door", "", {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}})
    with pytest.raises(ConfigError, match="open_door"):
        await read(await start(), request("marla", ask(MARLA, "hi"), tools=(tool,)))


async def test_what_fails_in_a_step_fails_its_streams_and_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start()
    expected = words(await read(engine, request("marla", ask(MARLA, "hi"))))
    inside = pump(engine)
    real, calls = inside._context.evaluate, iter((1, 2, 3))  # type: ignore[union-attr]

    def failing(parts: Any) -> list[int]:
        if next(calls, 0) == 3:
            raise EngineError("The language model could not evaluate: no power.")
        return real(parts)

    monkeypatch.setattr(inside._context, "evaluate", failing)
    with pytest.raises(EngineError, match="no power"):
        await read(engine, request("marla", ask(MARLA, "hi")))
    await settle(engine)
    assert words(await read(engine, request("marla", ask(MARLA, "hi")))) == expected


async def test_it_can_be_stopped_twice_and_started_again(start: Start) -> None:
    engine = await start()
    first = words(await read(engine, request("marla", ask(MARLA, "hi"))))
    await engine.stop()
    await engine.stop()
    with pytest.raises(EngineError, match="not running"):
        await read(engine, request("marla", ask(MARLA, "hi")))
    await engine.start()
    assert words(await read(engine, request("marla", ask(MARLA, "hi")))) == first


@pytest.mark.parametrize(
    "options", [{"n_batch": 64}, {"n_seq_max": 4}, {"limits": Limits(chunk=0)}, {"limits": Limits(streams=0)}]
)
def test_options_that_clash_are_refused(model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LlamaLlm(model, LlamaOptions(**options))


# --- tool calls ------------------------------------------------------------------------------------------------------

GIVE = ToolSpec(
    "give_item",
    "",
    {
        "type": "object",
        "properties": {
            "item": {"type": "string", "maxLength": 30},
            "count": {"type": "integer"},
            "price": {"type": "number"},
            "gift": {"type": "boolean"},
            "mood": {"enum": ["warm", "cold", 3]},
            "to": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"]},
            "also": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
        },
        "required": ["item", "mood"],
    },
)
WAVE = ToolSpec("wave", "", {"type": "object", "properties": {}})


async def test_noise_forced_into_a_call_writes_a_valid_one_every_time(start: Start, tmp_path: Path) -> None:
    """Tokens that hold the opening tag, alone or running on into JSON or into something else, drawn at random."""
    tags = ("<tool_call>", '<tool_call>{"', "<tool_call>\n", "<tool_call>,", "</tool_call>", "</tool_call> and")
    engine = await start(tiny_gguf.write(tmp_path / "tags.gguf", tiny_gguf.Tiny(tags=tags)), n_ctx=2048)
    schemas = {spec.name: read_tool(spec).arguments for spec in (GIVE, WAVE)}
    calls: list[InlineCall] = []
    spoken_after_a_call = False
    for seed in range(60):
        hot = Sampling(temperature=4.0, top_p=1.0, repeat_penalty=1.0, max_tokens=700, seed=seed)
        events = await read(engine, request("marla", ask(MARLA, "hi"), hot, (GIVE, WAVE)))
        assert "tool_call" not in words(events)
        mine = [event for event in events if isinstance(event, InlineCall)]
        calls += mine
        spoken_after_a_call |= bool(mine) and isinstance(events[-2], TextDelta)
        if len(calls) >= 25 and {call.name for call in calls} == {"give_item", "wave"}:
            break
    assert len(calls) >= 25 and spoken_after_a_call
    for call in calls:
        assert misfit(schemas[call.name], call.arguments) is None


async def test_a_call_that_runs_out_of_tokens_is_dropped_not_spoken(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await start(tiny_gguf.write(tmp_path / "tags.gguf", tiny_gguf.Tiny(tags=("<tool_call>",))), n_ctx=2048)
    dropped = 0
    for seed in range(40):
        hot = Sampling(temperature=4.0, top_p=1.0, repeat_penalty=1.0, max_tokens=30, seed=seed)
        events = await read(engine, request("marla", ask(MARLA, "hi"), hot, (GIVE,)))
        assert isinstance(events[-1], Finished) and "give_item" not in words(events)
        dropped = sum("ended before its closing tag" in record.getMessage() for record in caplog.records)
        if dropped:
            break
    assert dropped


# --- models that are none --------------------------------------------------------------------------------------------


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
    with pytest.raises(ModelError, match=r"no room for tiny.gguf .* GiB are free") as caught:
        await LlamaLlm(model, LlamaOptions(n_ctx=2**31 - 256)).start()
    assert "n_ctx" in caught.value.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory")
def test_memory_that_runs_out_at_start_is_a_clear_error(model: Path) -> None:
    program = """
import asyncio, resource, sys
from pathlib import Path
from mythicd import llamacpp
from mythicd.errors import ModelError
from mythicd.llm.engine import LlamaLlm
from mythicd.llm.llama import LlamaOptions
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
    assert "There is no room for tiny.gguf with a context of 1048576 tokens" in ran.stdout


async def test_a_model_without_a_template_speaks_chatml(start: Start, tmp_path: Path) -> None:
    engine = await start(tiny_gguf.write(tmp_path / "plain.gguf", tiny_gguf.Tiny(template=None)))
    assert pump(engine)._prompts.whole(ask(MARLA, "hi"))[0][0] == pump(engine)._vocabulary.control["<|im_start|>"]
    assert words(await read(engine, request("marla", ask(MARLA, "hi"))))
