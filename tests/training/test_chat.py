"""The chat template: Jinja and Python agree, the daemon can split it, and it fits the daemon's prompt."""

from __future__ import annotations

from random import Random

import jinja2.sandbox

from mythicd.dialogue import prompt as daemon
from mythicd.engines.llm import ChatMessage, ToolSpec
from mythicd.llm.llamacpp.chat_template import ChatTemplate
from training.chat import (
    CHAT_TEMPLATE,
    CONTROL_TOKENS,
    END_OF_TEXT,
    GENERATION_PROMPT,
    TURN_END,
    Message,
    native_reply,
    render,
)
from training.corpus.block import make_block
from training.corpus.cast import make_cast
from training.corpus.dialogue import user_front


def jinja(messages: list[Message]) -> str:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain = [{"role": m.role, "content": m.content} for m in messages]
    return environment.from_string(CHAT_TEMPLATE).render(messages=plain, add_generation_prompt=True)


def test_jinja_and_python_render_the_same_text() -> None:
    rng = Random(4)
    for _ in range(100):
        cast = make_cast(rng)
        messages = [
            Message("system", cast.system.title()),
            Message("user", "Hi There"),
            Message(
                "assistant",
                'Sure. <tool_call>{"name": "go", "arguments": {"place": "Market"}}</tool_call> Go.',
            ),
            Message("user", user_front(make_block(cast, rng), rng) + 'Who said "no"?'),
        ]
        assert jinja(messages) == "".join(map(render, messages)) + GENERATION_PROMPT


def test_sentences_have_pointers_and_names_the_same_spaces() -> None:
    text = render(
        Message(
            "user",
            '## Lore\n- The Gull is open. It closes at two.\n## Scene\n{"zone": "dock"}\n## Player\nHi',
        )
    )
    assert "<|1|> the gull is open.<|2|> it closes at two.\n" in text
    assert "<|scene|> zone: dock\n" in text
    assert native_reply('So. <tool_call>{"name": "go", "arguments": {"place": "Dock"}}</tool_call>') == (
        ' so. <tool_call>{"name": "go", "arguments": {"place": " dock"}}</tool_call>'
    )


def test_bare_words_are_a_turn_without_sections() -> None:
    assert render(Message("user", "Hello")) == render(Message("user", "## Player\nHello"))


def test_daemons_prompt_equals_the_training_prompt() -> None:
    parameters = {
        "type": "object",
        "properties": {"place": {"type": "string", "description": "name of a place"}},
    }
    tool = ToolSpec("set_waypoint", "show the player the way to a place", parameters)
    world = daemon.world_part("Lanternport", ["Stay in character"], [tool])
    character = daemon.character_part("Marla", "a barkeep", "wry", ["Never reveal the tunnel"])
    assert render(Message("system", world + character)) == (
        "<|im_start|>system\n"
        " you are a character in lanternport.\n"
        " ## rules\n"
        "<|p1|> stay in character\n"
        " ## tools\n"
        '<|t1|>"set_waypoint" {"place": "name of a place"}: show the player the way to a place\n'
        " you are marla, a barkeep. style: wry.\n"
        " ## persona\n"
        "<|p2|> never reveal the tunnel\n"
        "<|im_end|>\n"
    )


def test_daemon_can_split_the_prompt_at_its_parts() -> None:
    template = ChatTemplate(CHAT_TEMPLATE, bos=END_OF_TEXT, eos=TURN_END, markers=CONTROL_TOKENS)
    assert not template.folds_system
    for tools in ([], [ToolSpec("wave", "wave a hand", {"type": "object", "properties": {}})]):
        built = daemon.build(
            daemon.world_part("Lanternport", ["Stay in character"], tools),
            daemon.character_part("Marla", "a barkeep", "wry", ["Never reveal the tunnel"]),
            (ChatMessage("user", "Hello"), ChatMessage("assistant", "Good evening.")),
            "When do you open?",
            daemon.Sections(lore=("The Gull is open. It closes at two.",), scene={"zone": "market"}),
        )
        assert [segment.part for segment in template.render(built)] == [
            "world",
            "character",
            "history",
            "turn",
        ]
