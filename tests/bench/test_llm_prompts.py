"""The prompts of the benchmarks, and the vocabulary in which each word is one token."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.llm import engine_scenarios
from bench.llm.crowd import BRIEF, BRIEF_TOKENS
from bench.llm.mythic_side import Ours
from bench.llm.prompts import ENDS, Lengths, Script, chatml
from bench.random_model import SPACE, Shape, adapter, model, vocabulary_of, words
from mythicd.engines.llm import ChatMessage, Prompt
from mythicd.llm.llamacpp.chat_template import ChatTemplate
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.tokenizer import Tokenizer
from mythicd.native import llamacpp

TINY = Shape("tiny", layers=1, width=64, heads=2, kv_heads=1, feed_forward=64, vocabulary=1024, context=2048)
SCRIPT = Script(TINY.vocabulary, Lengths(world=50, persona=20, exchanges=1, block=10, question=8, reply=6))


def test_text_has_the_requested_words_and_is_always_the_same() -> None:
    text = SCRIPT.text("label", 30)
    assert len(text.split(" ")) == 30
    assert text == SCRIPT.text("label", 30) != SCRIPT.text("other", 30)


def test_vocabulary_has_each_word_once_with_and_without_space() -> None:
    tokens, merges = vocabulary_of(TINY.vocabulary)
    assert len(tokens) == len(set(tokens)) < TINY.vocabulary
    assert {form for word in words(TINY.vocabulary) for form in (word, SPACE + word)} <= set(tokens)
    assert all("".join(merge.split(" ")) in tokens for merge in merges)


def test_next_front_continues_this_one() -> None:
    now, later = SCRIPT.front("npc", 0), SCRIPT.front("npc", 1)
    assert chatml(later, header=False).startswith(chatml(now, header=False))
    assert len(later.history) == len(now.history) + 2


def test_partial_is_the_beginning_of_the_question() -> None:
    whole = chatml(SCRIPT.prompt("npc", 2))
    half = chatml(SCRIPT.prompt("npc", 2, 0.5), open_end=True)
    assert whole.startswith(half)
    assert whole.startswith(chatml(SCRIPT.front("npc", 2), header=False))
    # The words of this turn are in the next one's history, without the block of lore.
    said = SCRIPT.prompt("npc", 2).turn[0].content.split("\n")[1]
    assert SCRIPT.front("npc", 3).history[-2] == ChatMessage("user", said)


def test_question_with_another_end_has_the_same_start_and_length() -> None:
    kept = chatml(SCRIPT.prompt("npc", 2, ENDS), open_end=True)
    asked = {chatml(SCRIPT.prompt("npc", 2, ending=ending)) for ending in range(4)}
    assert len(asked) == 4
    assert all(question.startswith(kept) for question in asked)
    assert len({len(question.split(" ")) for question in asked}) == 1
    assert chatml(SCRIPT.prompt("npc", 2)) in asked


def test_prompts_are_rendered_as_the_models_template_does() -> None:
    from bench.random_model import CHATML

    template = ChatTemplate(CHATML, markers=("<|im_start|>", "<|im_end|>"))
    prompt = SCRIPT.prompt("npc", 1)
    assert "".join(segment.text for segment in template.render(prompt)) == chatml(prompt)


def test_two_characters_share_only_the_world() -> None:
    one, other = SCRIPT.prompt("one", 0), SCRIPT.prompt("other", 0)
    assert one.world == other.world
    assert one.character != other.character and one.turn != other.turn and one.history != other.history


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(TINY, tmp_path_factory.mktemp("models"))


def test_text_has_as_many_tokens_as_words(tiny: Path) -> None:
    library = llamacpp.backend()
    loaded = llamacpp.load_model(tiny)
    try:
        vocabulary = Tokenizer(library, loaded)
        assert len(vocabulary.tokenise(SCRIPT.text("any", 400))) == 400
        assert len(vocabulary.tokenise("\n" + SCRIPT.text("any", 400))) == 401
        header = "<|im_start|>assistant\n"
        assert len(vocabulary.tokenise(header)) == 3
    finally:
        library.llama_model_free(loaded)


async def test_reply_has_the_requested_length_and_each_token_is_text(tiny: Path) -> None:
    side = Ours(tiny, LlamaOptions(n_ctx=1024, threads=1))
    await side.start()
    try:
        for number in range(4):
            arrivals: list[float] = []
            spent = await side.reply(f"npc {number}", SCRIPT.stranger(f"npc {number}", 40), 60, arrivals)
            assert spent.written == len(arrivals) == 60
    finally:
        await side.stop()


async def test_short_turn_has_the_claimed_number_of_new_tokens(tiny: Path) -> None:
    script = Script(TINY.vocabulary, BRIEF)
    side = Ours(tiny, LlamaOptions(n_ctx=1024, threads=1))
    await side.start()
    try:
        for turn in range(3):
            await side.warm("npc", script.front("npc", turn))
            assert (await side.reply("npc", script.prompt("npc", turn), 2, [])).evaluated == BRIEF_TOKENS
    finally:
        await side.stop()


async def test_bare_loop_on_the_engines_context_leaves_its_cache_valid(tiny: Path) -> None:
    side = Ours(tiny, LlamaOptions(n_ctx=1024, threads=1, park_idle=False))
    await side.start()
    try:
        await side.warm("somebody else", SCRIPT.front("somebody else", 0))
        found = await engine_scenarios.decode(side, prompts=[SCRIPT.stranger("writer", 40)], tokens=4, rounds=2)
        assert len(found) == 2 and all(steps.engine > 0 and steps.bare > 0 for steps in found)
        thread = side.engine._thread
        assert thread is not None and thread._context is not None
        thread._allocator.check()
        held = thread._allocator.state.sequences()
        assert "somebody else" in held and "writer 0" not in held
        assert all(thread._context.last_position(sequence) == size - 1 for sequence, size in held.values())
        assert all(thread._context.last_position(sequence) == -1 for sequence in thread._allocator._spare)
    finally:
        await side.stop()


async def test_the_adapters_fit_the_model(tiny: Path) -> None:
    side = Ours(tiny, LlamaOptions(n_ctx=1024, threads=1))
    await side.start()
    try:
        made = adapter(TINY, 1, tiny.parent)
        plain = SCRIPT.stranger("npc", 40)
        dressed = Prompt(plain.world, plain.character, plain.history, plain.turn, str(made))
        assert (await side.reply("npc", dressed, 5, [])).written == 5
        assert side.engine.counters.adapter_switches > 0
    finally:
        await side.stop()


def test_model_is_generated_once(tiny: Path) -> None:
    before = tiny.stat().st_mtime_ns
    assert model(TINY, tiny.parent) == tiny
    assert tiny.stat().st_mtime_ns == before
    assert [path.suffix for path in tiny.parent.iterdir() if "lora" not in path.name] == [".gguf"]
