"""The fixed-reply model, and its vocabulary."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from bench.random_model import CONTROL, Shape
from bench.turn.fixed_reply_model import END, TRIGGER, chain, model, pieces, trained
from bench.turn.world import CLAUSE, QUESTIONS, REPLY, build, front, npc_id, texts
from mythicd.dialogue import prompt
from mythicd.engines.llm import Finished, LlmRequest, Prompt, Sampling, TextDelta
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.tts.phrase_buffer import PhraseBuffer

TINY = Shape("tiny", layers=2, width=256, heads=4, kv_heads=2, feed_forward=256, vocabulary=2048, context=2048)


def test_each_token_of_the_script_determines_the_next() -> None:
    assert chain("No, friend.") == {TRIGGER: "No", "No": ",", ",": " friend", " friend": ".", ".": END}


def test_script_with_a_repeated_token_raises_value_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        chain("No, no, friend.")
    with pytest.raises(ValueError, match="twice"):
        chain("No\nfriend.")


def test_pieces_join_to_the_text() -> None:
    text = "<|im_start|>user\n## Lore\n- It's a day's walk.\n\n12 o'clock?<|im_end|>"
    assert "".join(pieces(text)) == text
    assert pieces(text)[0] == CONTROL[1]


def test_every_piece_of_the_texts_is_one_token() -> None:
    said = ["The market lies north of the harbor.", "\n- The other mother gathers\n"]
    tokens, merges = trained(said)
    assert len(tokens) == len(set(tokens))
    written = {piece.replace(" ", "\u0120").replace("\n", "\u010a") for text in said for piece in pieces(text)}
    assert written <= set(tokens)
    assert all("".join(merge.split(" ")) in tokens for merge in merges)


def test_first_clause_has_the_length_that_the_floor_uses() -> None:
    buffer, said = PhraseBuffer(), pieces(REPLY)
    ready = [number for number, piece in enumerate(said, 1) if buffer.add(piece, 0.0)]
    # A mark ends a clause when text follows that is not part of it.
    assert ready[0] in (CLAUSE, CLAUSE + 1)


async def test_model_says_the_script_for_any_prompt(tmp_path: Path) -> None:
    world = build(tmp_path / "world", 2)
    llm = LlamaLlm(model(TINY, list(texts(world)), REPLY, tmp_path), LlamaOptions(n_ctx=2048, n_seq_max=2, threads=1))
    await llm.start()
    try:
        for number, question in enumerate(QUESTIONS[:2]):
            built = front(world, npc_id(number))
            asked = prompt.turn_message(question.lower().rstrip("?"), prompt.Sections(lore=(world.lore[3].entry.text,)))
            built = Prompt(built.world, built.character, (), (asked,))
            request = LlmRequest("npc", "t", built, (), Sampling(temperature=0, repeat_penalty=1.0, max_tokens=64))
            text, ended = "", None
            async with aclosing(llm.generate(request)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        text += event.text
                    elif isinstance(event, Finished):
                        ended = event
            assert text == REPLY
            assert ended is not None and ended.reason == "stop"
            whole = f"<|im_start|>system\n{built.world}{built.character}{END}\n<|im_start|>user\n{asked.content}{END}\n"
            assert ended.prompt_tokens == len(pieces(whole + "<|im_start|>assistant\n"))
    finally:
        await llm.stop()


def test_prompt_has_about_five_hundred_tokens_before_a_question(tmp_path: Path) -> None:
    built = front(build(tmp_path / "world", 2), npc_id(1))
    assert 250 <= len(pieces(built.world)) <= 350
    assert 150 <= len(pieces(built.character)) <= 250
