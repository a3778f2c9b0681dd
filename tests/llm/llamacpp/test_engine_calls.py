"""Tool calls written by real llama.cpp under a grammar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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

from mythicd.engines.llm import Finished, InlineCall, Sampling, TextDelta, ToolSpec
from mythicd.errors import EngineError
from mythicd.llm.llamacpp.context import Model
from mythicd.llm.llamacpp.decoding import Decoding
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.sampler import Sampler
from mythicd.llm.llamacpp.tokenizer import Tokenizer
from mythicd.llm.tool_grammar import call_grammar
from mythicd.llm.tool_schema import fit, read_tool

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


async def test_noise_forced_into_a_call_writes_a_valid_one_every_time(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
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
    reasons = {record.getMessage() for record in caplog.records if "tool call" in record.getMessage()}
    assert all("ended before its closing tag" in reason for reason in reasons)
    for call in calls:
        assert fit(schemas[call.name], call.arguments) == call.arguments


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


async def test_a_model_whose_template_opens_a_thought_is_silent_until_it_has_ended(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = "<|im_start|>assistant\\n"
    thinking = tiny_gguf.Tiny(template=tiny_gguf.CHATML.replace(header, header + "<think>\\n"))
    assert thinking.template != tiny_gguf.CHATML
    engine = await start(tiny_gguf.write(tmp_path / "thinking.gguf", thinking))
    events = await read(engine, request("marla", ask(MARLA, "hi"), Sampling(temperature=0, max_tokens=12)))
    assert words(events) == "" and isinstance(events[-1], Finished)
    told = [record for record in caplog.records if record.args == (12,)]
    assert told and "llm.max_tokens" in told[0].getMessage()


def test_a_thought_of_the_models_own_is_not_spoken(tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    plain = Sampling(temperature=0, repeat_penalty=1)
    for text, said in (("<think>Hm. <tool_call>{ </think>\n\nAye.", "Aye."), ("<think>Hm. Ale? What", "")):
        tokens = tokenizer.tokenise(text)
        decoding = Decoding(tokenizer, [read_tool(WAVE)], plain, len(tokens), ())
        parts = [part for token in tokens for part in decoding.write(Wish(tokenizer.size, token), 0)]  # type: ignore[arg-type]
        decoding.close()
        assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == said and decoding.over == "length"
        assert ("said nothing" in caplog.text) is (not said)


def test_a_reply_that_ends_in_the_thought_its_template_opened_has_answered_at_once(tokenizer: Tokenizer) -> None:
    plain = Sampling(temperature=0, repeat_penalty=1)
    tokens = [*tokenizer.tokenise("Aye."), min(tokenizer.ends)]
    decoding = Decoding(tokenizer, [], plain, len(tokens) + 1, (), thinking=True)
    parts = [part for token in tokens for part in decoding.write(Wish(tokenizer.size, token), 0)]  # type: ignore[arg-type]
    decoding.close()
    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == "Aye." and decoding.over == "stop"


class Wish:
    """Stands in for a context: a model that wants these tokens, the first most of all."""

    def __init__(self, size: int, *tokens: int) -> None:
        self._logits = np.zeros(size, np.float32)
        for rank, token in enumerate(tokens):
            self._logits[token] = 100 - rank

    def logits(self, row: int) -> np.ndarray[Any, Any]:
        return self._logits


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokenizer]:
    specials = (*tiny_gguf.SPECIALS, "<|1|>")
    path = tiny_gguf.write(tmp_path_factory.mktemp("models") / "v.gguf", tiny_gguf.Tiny(specials=specials))
    model = Model(path, LlamaOptions())
    yield model.tokenizer
    model.close()


def admits(tokenizer: Tokenizer, grammar: str, text: str) -> bool:
    """Tell whether the grammar admits this text, letter by letter, and an end behind it."""
    sampler = Sampler(tokenizer, Sampling())
    sampler.constrain(grammar)
    end = tokenizer.control["<|im_end|>"]
    try:
        for letter in text.encode():
            [token] = tokenizer.tokenise(chr(letter))
            if sampler.sample(Wish(tokenizer.size, token), 0) != token:  # type: ignore[arg-type]
                return False
        return sampler.sample(Wish(tokenizer.size, end), 0) == end  # type: ignore[arg-type]
    finally:
        sampler.close()


ANY = read_tool(
    ToolSpec(
        "try",
        "",
        {
            "type": "object",
            "properties": {
                "a": {"type": "integer"},
                "b": {"type": "string", "maxLength": 3},
                "c": {"enum": ["x", 'y"z', 2, True]},
                "d": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
                "e": {"type": "boolean"},
            },
            "required": ["b"],
        },
    )
)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"b": "x"}',
        '{"a": -12, "b": ""}',
        '{"a":0,"b":"x","e":false}',
        '{ "b" : "abc" , "c" : "x" }',
        '{"b": "a\\"c", "c": "y\\"z"}',
        '{"b": "x", "c": " x"}',
        '{"b": "x", "c": 2, "d": []}',
        '{"b": "x", "c": true, "d": [1.5, -2e3], "e": true}',
    ],
)
def test_the_grammar_admits_what_fits(tokenizer: Tokenizer, arguments: str) -> None:
    grammar = call_grammar([ANY])
    assert grammar is not None
    assert fit(ANY.arguments, json.loads(arguments))
    for call in (f'{{"name": "try", "arguments": {arguments}}}', f'\n{{"name":"try","arguments":{arguments}}}\n'):
        assert admits(tokenizer, grammar, f"{call}</tool_call>")


@pytest.mark.parametrize(
    "call",
    [
        '{"name": "try", "arguments": {}}',
        '{"name": "try", "arguments": {"a": 1}}',
        '{"name": "try", "arguments": {"b": "x",}}',
        '{"name": "try", "arguments": {"b": "x" "c": 2}}',
        '{"name": "try", "arguments": {,"b": "x"}}',
        '{"name": "try", "arguments": {"b": "abcd"}}',
        '{"name": "try", "arguments": {"b": "a<b"}}',
        '{"name": "try", "arguments": {"b": "x", "c": "z"}}',
        '{"name": "try", "arguments": {"b": "x", "d": [1, 2, 3]}}',
        '{"name": "try", "arguments": {"b": "x", "z": 1}}',
        '{"name": "try", "arguments": {"a": 01, "b": "x"}}',
        '{"name": "other", "arguments": {"b": "x"}}',
        '{"name": "try"}',
    ],
)
def test_the_grammar_admits_nothing_else(tokenizer: Tokenizer, call: str) -> None:
    grammar = call_grammar([ANY])
    assert grammar is not None
    assert not admits(tokenizer, grammar, f"{call}</tool_call>")


@pytest.mark.parametrize(
    ("items", "most"),
    [
        ({"type": "string"}, 20),
        ({"type": "string", "maxLength": 300}, 8),
        ({"type": "string", "maxLength": 1000}, 1000),
        ({"type": "array", "items": {"type": "string", "maxLength": 300}, "maxItems": 20}, 20),
        ({"type": "object", "properties": {"a": {"type": "string", "maxLength": 300}}, "required": ["a"]}, 40),
    ],
)
def test_long_lists_of_long_strings_compile(tokenizer: Tokenizer, items: dict[str, Any], most: int) -> None:
    properties = {"a": {"type": "array", "items": items, "maxItems": most}}
    grammar = call_grammar([read_tool(ToolSpec("try", "", {"properties": properties, "required": ["a"]}))])
    assert grammar is not None
    one = {"string": '"x y"', "array": '["x", "y"]', "object": '{"a": "x"}'}[items["type"]]
    for values in ("", one, f"{one}, {one}"):
        assert admits(tokenizer, grammar, f'{{"name": "try", "arguments": {{"a": [{values}]}}}}</tool_call>')
    assert not admits(tokenizer, grammar, f'{{"name": "try", "arguments": {{"a": [{one} {one}]}}}}</tool_call>')


def test_in_a_call_one_silent_token_passes_but_never_two_nor_a_banned_one(tokenizer: Tokenizer) -> None:
    grammar = call_grammar([ANY])
    assert grammar is not None
    opener, silent, [brace] = tokenizer.control["<|im_start|>"], tokenizer.control["<|1|>"], tokenizer.tokenise("{")
    sampler = Sampler(tokenizer, Sampling(), [opener])
    sampler.constrain(grammar)
    wish: Any = Wish(tokenizer.size, opener, silent, brace)
    assert [sampler.sample(wish, 0) for _ in range(2)] == [silent, brace]
    sampler.close()


def test_a_vocabulary_that_cannot_write_the_call_is_an_error_not_the_end(tokenizer: Tokenizer) -> None:
    sampler = Sampler(tokenizer, Sampling(), range(tokenizer.size))
    sampler.constrain('root ::= "x"')
    with pytest.raises(EngineError, match="No token"):
        sampler.sample(Wish(tokenizer.size), 0)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="compile"):
        sampler.constrain("root ::= nothing")
    sampler.close()
