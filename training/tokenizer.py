"""The tokenizer: byte-level BPE whose tokens do not depend on a word's position: `python -m training.tokenizer`.

llama.cpp splits text by the qwen2 regular expression before merging, so any merge within one of its pieces may be
learnt. During learning, newlines and any mark before a word are split off as well: no merge crosses them, so `"place`
and `{"place` share their word token, and the end of a line is always one token.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.chat import CONTROL_TOKENS, VISIBLE_SPECIALS
from training.corpus.dialogue import conversation

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pre-tokeniser that llama.cpp runs for `tokenizer.ggml.pre = qwen2`."""
_NO_MERGE_ACROSS = r"[\r\n]+|[^\s\p{L}\p{N}](?=\p{L})"

TOKENIZER_FILE = Path(__file__).parent / "tokenizer.json"


def _splits(*, learning: bool) -> pre_tokenizers.PreTokenizer:
    steps = [pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated")]
    if learning:
        steps.append(pre_tokenizers.Split(Regex(_NO_MERGE_ACROSS), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return pre_tokenizers.Sequence(steps)


def _texts(worlds: int, seed: int) -> Iterator[str]:
    rng = Random(seed)
    for _ in range(worlds):
        system, episodes = conversation(rng)
        yield system
        for _, made in zip(range(3), episodes, strict=False):
            yield made.front
            for question in made.questions:
                yield question.prompt + question.reply


def learn(vocabulary: int, worlds: int, seed: int) -> Tokenizer:
    """Return a tokenizer of exactly `vocabulary` tokens, learnt from `worlds` generated worlds."""
    tokenizer = Tokenizer(models.BPE())
    specials = [AddedToken(text, special=True, normalized=False) for text in CONTROL_TOKENS]
    specials += [AddedToken(text, special=False, normalized=False) for text in VISIBLE_SPECIALS]
    tokenizer.add_special_tokens(specials)
    tokenizer.pre_tokenizer = _splits(learning=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(worlds, seed), trainer)
    tokenizer.pre_tokenizer = _splits(learning=False)
    return tokenizer


def load() -> Tokenizer:
    """Return the tokenizer of the shipped model."""
    return Tokenizer.from_file(str(TOKENIZER_FILE))


def main() -> None:
    """Learn the tokenizer and write tokenizer.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=4096, help="tokens in all")
    parser.add_argument("--worlds", type=int, default=3000, help="generated worlds to learn from")
    parser.add_argument("--seed", type=int, default=20_000_001, help="seed of those worlds")
    parser.add_argument("--out", type=Path, default=TOKENIZER_FILE)
    options = parser.parse_args()
    tokenizer = learn(options.vocabulary, options.worlds, options.seed)
    tokenizer.save(str(options.out))
    sizes = [len(tokenizer.encode(text).ids) for text in _texts(200, 7)]
    words = [len(text.split()) for text in _texts(200, 7)]
    print(f"{tokenizer.get_vocab_size()} tokens, {sum(sizes) / sum(words):.2f} tokens a word -> {options.out}")


if __name__ == "__main__":
    main()
