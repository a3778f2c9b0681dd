"""The model: a small Llama in torch, exactly as llama.cpp runs it (interleaved rotary pairs, tied embedding)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROTARY_SPAN = 500.0
"""Longest wavelength, in tokens per radian, of the rotated pairs; they grow geometrically from 1."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 5
    heads: int = 4
    feed_forward: int = 512
    context: int = 2048
    """Positions of the rotary tables."""
    rotated_pairs: int = 12
    """Rotary pairs per head that rotate; the rest compare content at any distance."""
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Channels per head."""
        return self.width // self.heads

    def as_dict(self) -> dict[str, int | float]:
        """Return the sizes for a checkpoint."""
        return asdict(self)


def rotary_frequencies(shape: Shape) -> Tensor:
    """Return the radians per position for each pair of a head: [head_width / 2]; zero for pairs that do not rotate."""
    count = shape.rotated_pairs
    found = torch.zeros(shape.head_width // 2)
    found[:count] = torch.tensor([ROTARY_SPAN ** (-i / (count - 1)) for i in range(count)])
    return found


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (2i, 2i+1) of [batch, heads, time, head_width]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Norm(nn.Module):
    """Root-mean-square norm, in float32 inside."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [..., width]; the shape and the type stay."""
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight).to(x.dtype)


class Block(nn.Module):
    """Attention and gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = Norm(shape.width, shape.epsilon)
        self.feed_norm = Norm(shape.width, shape.epsilon)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.gate_up = nn.Linear(shape.width, 2 * shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Take x [batch, time, width], cos/sin [batch, 1, time, pairs], mask [batch, 1, time, time], added to scores.

        Attention is not fused: on this CPU the fused kernel's backward pass took most of the step.
        """
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.shape.heads, self.shape.head_width).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).split(width, -1)
        )
        q, k = _rotate(q, cos, sin).to(v.dtype), _rotate(k, cos, sin).to(v.dtype)
        scores = torch.matmul(q * self.shape.head_width**-0.5, k.transpose(-1, -2)) + mask
        mixed = torch.matmul(torch.softmax(scores, -1, dtype=scores.dtype), v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, -1)
        fed: Tensor = x + self.down(F.silu(gate) * up)
        return fed


class StarterModel(nn.Module):
    """The language model."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.epsilon)
        angles = torch.outer(torch.arange(shape.context).float(), rotary_frequencies(shape))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # Outputs start at zero and the embedding large: copying emerges sooner.
                scale = 0.0 if name.endswith(("out.weight", "down.weight")) else 0.7 / math.sqrt(parameter.shape[1])
                nn.init.normal_(parameter, 0, 0.1 if "embedding" in name else scale)

    def hidden(self, ids: Tensor, positions: Tensor, segments: Tensor, branches: Tensor) -> Tensor:
        """Return the last hidden states [batch, time, width] of inputs that are [batch, time] each.

        A token sees, before it, segment 0 (the system message) and in its own segment branch 0 and its own branch.
        """
        x = self.embedding(ids)
        if torch.is_autocast_enabled("cpu"):
            x = x.bfloat16()
        cos, sin = self.cos[positions][:, None].to(x.dtype), self.sin[positions][:, None].to(x.dtype)
        time = ids.shape[1]
        order = torch.arange(time)
        same_branch = (branches[:, None, :] == branches[:, :, None]) | (branches[:, None, :] == 0)
        same_segment = (segments[:, None, :] == segments[:, :, None]) & same_branch
        seen = (order[:, None] >= order[None, :]) & (same_segment | (segments[:, None, :] == 0))
        mask = torch.where(seen, 0.0, -1e4).to(x.dtype)[:, None]
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        normed: Tensor = self.norm(x)
        return normed

    def loss(
        self,
        ids: Tensor,
        positions: Tensor,
        segments: Tensor,
        branches: Tensor,
        places: Tensor,
        labels: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return weighted cross-entropy and best tokens at the flat `places` [n] whose next token is `labels` [n]."""
        states = self.hidden(ids, positions, segments, branches).flatten(0, 1).index_select(0, places)
        logits = F.linear(states, self.embedding.weight.to(states.dtype)).float()
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (losses * weights).sum() / weights.sum(), logits.argmax(-1)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits [batch, time, vocabulary] of plain text."""
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        return F.linear(self.hidden(ids, positions, *[torch.zeros_like(ids)] * 2), self.embedding.weight)
