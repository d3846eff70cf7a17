"""Small vision transformers in the words of several people, with random weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class FusedAttention(nn.Module):
    """One layer for queries, keys and values, and torch's attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class WrittenAttention(nn.Module):
    """Three layers, and an attention that is written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out, self.drop = nn.Linear(width, width), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(x.shape[0], -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        weights = self.drop(torch.softmax((q * self.scale) @ k.transpose(-2, -1), dim=-1))
        return self.out((weights @ v).transpose(1, 2).contiguous().flatten(2))


class ChunkedAttention(nn.Module):
    """Channels of each head beside each other for all three, one head after another, scaled afterwards."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(x).view(batch, tokens, self.heads, 3 * width // self.heads).transpose(1, 2)
        q, k, v = parts.chunk(3, dim=-1)
        scores = torch.matmul(q, k.permute(0, 1, 3, 2)) / math.sqrt(width // self.heads)
        return self.proj(torch.matmul(scores.softmax(-1), v).permute(0, 2, 1, 3).reshape(batch, tokens, width))


class TorchAttention(nn.Module):
    """Torch's own layer, with its weights or without."""

    def __init__(self, width: int, heads: int, *, weights: bool = False, batch_first: bool = True) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=batch_first)
        self.weights, self.batch_first = weights, batch_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        y, _ = self.attention(x, x, x, need_weights=self.weights)
        return y if self.batch_first else y.transpose(0, 1)


class Block(nn.Module):
    def __init__(self, width: int, attention: nn.Module, *, scaled: bool = False) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(width), attention, nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * width, width))
        self.gamma = nn.Parameter(torch.rand(width)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.attn(self.norm1(x))
        x = x + (y if self.gamma is None else self.gamma * y)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches, positions, blocks before whose layers a norm stands, a class token or the mean, classes."""

    def __init__(
        self,
        channels: int = 1,
        attention: type[nn.Module] = FusedAttention,
        *,
        places: int = 16,
        patch: int = 2,
        width: int = 16,
        heads: int = 2,
        depth: int = 2,
        class_token: bool = True,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width)) if class_token else None
        self.positions = nn.Parameter(0.02 * torch.randn(1, places + class_token, width))
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*[Block(width, attention(width, heads), scaled=scaled) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.norm(self.blocks(self.drop(x + self.positions)))
        return self.head(x.mean(dim=1) if self.token is None else x[:, 0])


class EncoderTransformer(nn.Module):
    """Patches by a linear layer, torch's encoder layers, the norm behind the class token."""

    def __init__(self, channels: int = 3, *, norm_first: bool = True) -> None:
        super().__init__()
        self.patches = nn.Linear(16 * channels, 12)
        self.token, self.positions = nn.Parameter(torch.randn(12)), nn.Parameter(torch.randn(16, 12))
        layer = nn.TransformerEncoderLayer(12, 3, 20, activation="gelu", batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(12), nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = (
            x.reshape(batch, channels, height // 4, 4, width // 4, 4)
            .permute(0, 2, 4, 3, 5, 1)
            .reshape(batch, -1, 16 * channels)
        )
        x = self.patches(x) + self.positions
        x = torch.cat([self.token.reshape(1, 1, 12).repeat(batch, 1, 1), x], dim=1)
        return self.head(self.norm(self.encoder(x)[:, 0]))


class ConvNext(nn.Module):
    """Layer norms of maps, linear layers over their channels, and no attention."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(channels, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 16), nn.Linear(16, 8)
        self.gamma, self.last, self.head = nn.Parameter(torch.rand(8)), nn.LayerNorm(8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(functional.gelu(self.wide(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.head(self.last(x.mean([-2, -1])))


def random(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Return ``network`` with weights of some size, also of norms, for evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 1.5 / parameter[0].numel() ** 0.5, generator=generator)
            else:
                parameter.uniform_(0.5, 1.5, generator=generator)
                if name.endswith("bias"):
                    parameter.sub_(1).mul_(0.6)
    return network.train(False)
