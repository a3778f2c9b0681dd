"""Tool calls written by real llama.cpp under a grammar."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_gguf
from asking import (
    MARLA,
    Start,
    ask,
    read,
    request,
    words,
)

from mythicd.engines import (
    Finished,
    InlineCall,
    Sampling,
    TextDelta,
    ToolSpec,
)
from mythicd.llm.schema import misfit, read_tool

pytestmark = pytest.mark.engine


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
