"""Layers over the tokens of a text in torch: float32 [rows, length], whole numbers from 1 on, and 0 behind the last.

``token_graph`` writes the same in ONNX, and a test compares both.
"""

import torch
from torch import nn
from torch.nn import functional

from modelservice.contract.networks import Cell
from modelservice.families.architecture import TokenAttention, TokenRecurrence

HIDDEN = -1e9
"""Added to the score of a place without a token: no share of the attention, and no NaN where no place has one."""
_SPREAD = 0.02
"""Deviation of initial embeddings of a transformer, which adds places to them."""


def build(layer: TokenRecurrence | TokenAttention, *, device: str) -> "Recurrence | Attention":
    """The module of a layer."""
    if isinstance(layer, TokenRecurrence):
        return Recurrence(layer, device=device)
    return Attention(layer, device=device)


class Recurrence(nn.Module):
    """See ``TokenRecurrence``; gives float32 [rows, units of both directions]."""

    def __init__(self, layer: TokenRecurrence, *, device: str) -> None:
        super().__init__()
        self.layer = layer
        self.embedding = nn.Embedding(layer.vocabulary + 1, layer.embedding, device=device)
        cell = nn.LSTM if layer.cell is Cell.LSTM else nn.GRU
        self.cells = cell(
            layer.embedding,
            layer.units,
            num_layers=layer.layers,
            bidirectional=layer.bidirectional,
            batch_first=True,
            device=device,
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """An empty text is one place without a token."""
        numbers = tokens.long()
        lengths = (numbers > 0).sum(dim=1).clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(numbers), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.cells(packed)[0], batch_first=True)
        mean: torch.Tensor = states.sum(dim=1) / lengths[:, None]
        return mean


class Attention(nn.Module):
    """See ``TokenAttention``; gives float32 [rows, width]."""

    def __init__(self, layer: TokenAttention, *, device: str) -> None:
        super().__init__()
        self.layer = layer
        self.embedding = nn.Embedding(layer.vocabulary + 1, layer.width, device=device)
        self.place = nn.Parameter(torch.empty(layer.length, layer.width, device=device))
        self.blocks = nn.ModuleList(_Block(layer, device=device) for _ in range(layer.layers))
        self.norm = nn.LayerNorm(layer.width, device=device)
        nn.init.normal_(self.embedding.weight, std=_SPREAD)
        nn.init.normal_(self.place, std=_SPREAD)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """An empty text is 0."""
        numbers = tokens.long()
        held = (numbers > 0).to(self.place)
        hidden = (1 - held)[:, None, None, :] * HIDDEN
        states = self.embedding(numbers) + self.place
        for block in self.blocks:
            states = block(states, hidden)
        states = self.norm(states) * held[:, :, None]
        mean: torch.Tensor = states.sum(dim=1) / held.sum(dim=1, keepdim=True).clamp(min=1)
        return mean


class _Block(nn.Module):
    def __init__(self, layer: TokenAttention, *, device: str) -> None:
        super().__init__()
        width, inner = layer.width, layer.feed_forward
        self.heads = layer.heads
        self.norm1 = nn.LayerNorm(width, device=device)
        self.attend = nn.Linear(width, 3 * width, device=device)
        self.join = nn.Linear(width, width, device=device)
        self.norm2 = nn.LayerNorm(width, device=device)
        self.up = nn.Linear(width, inner, device=device)
        self.down = nn.Linear(inner, width, device=device)
        self.dropout = nn.Dropout(layer.dropout)

    def forward(self, states: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        rows, length, width = states.shape
        parts = self.attend(self.norm1(states)).reshape(rows, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=hidden)
        states = states + self.dropout(self.join(seen.transpose(1, 2).reshape(rows, length, width)))
        added: torch.Tensor = self.dropout(self.down(functional.gelu(self.up(self.norm2(states)))))
        return states + added
