"""Induction heads that are set by hand before training, since copying is what the model does, and is learnt late.

Layer 0, head 0 attends to the previous position and writes its token into a slot of the residual stream; heads 0 and 1
of layer 1 compare the current token with that slot, in the channels that do not rotate, and copy what follows. The
untrained model repeats random sequences; training continues from there.
"""

from __future__ import annotations

import math

import torch

from training.model import Block, Shape, StarterModel, rotary_frequencies

_CONSTANT_SHARE = 0.5
"""Strength of the constant direction, relative to a token's own embedding."""
_SHARPNESS = 60.0
"""Product of query and key of the previous-token head."""


@torch.no_grad()
def set_induction(model: StarterModel) -> None:
    """Overwrite the embedding and three heads in place."""
    shape = model.shape
    width, head = shape.width, shape.head_width
    basis, _ = torch.linalg.qr(torch.randn(width, width))
    constant, slot, rest = basis[:, 0], basis[:, 1 : 1 + head], basis[:, 1 + head :]
    own = torch.randn(shape.vocabulary, rest.shape[1]) * 0.1 * math.sqrt(width / rest.shape[1])
    model.embedding.weight.copy_(own @ rest.T + _CONSTANT_SHARE * 0.1 * math.sqrt(width) * constant)
    content = rest[:, :head].T
    first, second = model.blocks[0], model.blocks[1]
    assert isinstance(first, Block) and isinstance(second, Block)
    _look_back(first, shape, constant, slot, content)
    _match_and_copy(second, shape, slot, rest, content)


def _look_back(block: Block, shape: Shape, constant: torch.Tensor, slot: torch.Tensor, content: torch.Tensor) -> None:
    """Set head 0 to attend to the previous position, by phase alone."""
    width, head = shape.width, shape.head_width
    frequencies = rotary_frequencies(shape)
    reach = math.sqrt(_SHARPNESS)
    query, key = torch.zeros(head), torch.zeros(head)
    for pair in range(min(8, shape.rotated_pairs)):
        query[2 * pair] = reach
        key[2 * pair] = reach * torch.cos(frequencies[pair])
        key[2 * pair + 1] = reach * torch.sin(frequencies[pair])
    seen = _CONSTANT_SHARE * math.sqrt(width) / math.sqrt(1 + _CONSTANT_SHARE**2)
    block.qkv.weight[:head] = torch.outer(query, constant) / seen
    block.qkv.weight[width : width + head] = torch.outer(key, constant) / seen
    block.qkv.weight[2 * width : 2 * width + head] = content
    block.out.weight[:, :head] = 0.1 * slot


def _match_and_copy(block: Block, shape: Shape, slot: torch.Tensor, rest: torch.Tensor, content: torch.Tensor) -> None:
    """Set heads 0 and 1 to find an earlier occurrence of the current token and copy its successor."""
    width, head = shape.width, shape.head_width
    still = head - 2 * shape.rotated_pairs
    for number in (0, 1):
        channels = torch.arange(still) if number == 0 else torch.arange(head - still, head)
        pick = torch.zeros(head, head)
        pick[2 * shape.rotated_pairs + torch.arange(still), channels] = 1
        rows = slice(number * head, (number + 1) * head)
        copied = rest[:, rows]
        block.qkv.weight[rows] = 2.3 * pick @ content
        block.qkv.weight[width + number * head : width + (number + 1) * head] = 2.3 * pick @ slot.T
        block.qkv.weight[2 * width + number * head : 2 * width + (number + 1) * head] = copied.T
        block.out.weight[:, rows] = 0.25 * copied
