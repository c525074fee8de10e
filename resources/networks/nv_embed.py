"""NV-Embed-v2 (Lee et al. 2024): a Mistral whose tokens all see each other, latent attention, and a mean over tokens.

Needs torch and transformers; keys and sizes are those of the published shards. For inference: no dropout, no cache.
"""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MistralConfig, MistralModel
from transformers.models.mistral.modeling_mistral import MistralRotaryEmbedding

# B texts, T tokens, N tokens of all texts, D dimensions, L latents, H heads, K dimensions of a head

CHUNK_TOKENS = 8192  # the latent attention's inner rows are 8 times as long as a token's state


@dataclass(frozen=True, slots=True)
class TextConfig:
    """`text_config` of the published config.json; the defaults are what it says."""

    vocab_size: int = 32_000
    hidden_size: int = 4096
    intermediate_size: int = 14_336
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 32_768
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0


@dataclass(frozen=True, slots=True)
class LatentAttentionConfig:
    """`latent_attention_config` of the published config.json; what it leaves out has these values."""

    num_latents_value: int = 512
    latent_dim: int = 4096
    hidden_dim: int = 4096
    num_cross_heads: int = 8
    cross_dim_head: int = 4096
    mult: int = 4


@dataclass(frozen=True, slots=True)
class NVEmbedConfig:
    """The part of config.json that decides what comes out; the defaults are the published model."""

    text_config: TextConfig = field(default_factory=TextConfig)
    latent_attention_config: LatentAttentionConfig = field(default_factory=LatentAttentionConfig)
    model_type: str = "nvembed"
    mask_type: str = "b"
    padding_side: str = "right"
    is_mask_instruction: bool = True


class NVEmbed(nn.Module):
    """The whole network, in the precision of its parameters."""

    def __init__(self, config: NVEmbedConfig) -> None:
        super().__init__()
        mistral = _mistral_config(config.text_config)
        self.embedding_model = MistralModel(mistral)
        # Its frequencies are in no checkpoint, so a network that is built on the meta device needs them all the same.
        with torch.device("cpu"):
            self.embedding_model.rotary_emb = MistralRotaryEmbedding(mistral)
        self.latent_attention_model = LatentAttention(config.latent_attention_config)

    def forward(self, ids_BT: Tensor, is_token_BT: Tensor, is_pooled_BT: Tensor) -> Tensor:
        """The mean of the pooled tokens' states, float32 [B, D], not of unit length.

        Texts are padded on the right, and padding is neither a token nor pooled; each text has a pooled token.
        """
        dtype = self.latent_attention_model.latents.dtype
        # Four axes: MistralModel takes such a mask as it is, and so leaves out its own causal one.
        mask_B11T = torch.zeros(is_token_BT.shape, dtype=dtype, device=ids_BT.device)
        mask_B11T = mask_B11T.masked_fill(~is_token_BT, torch.finfo(dtype).min)[:, None, None, :]
        seen = self.embedding_model(ids_BT, attention_mask=mask_B11T, use_cache=False)
        states_BTD = self.latent_attention_model(seen.last_hidden_state)
        weights_BT1 = is_pooled_BT.float()[:, :, None]
        return cast(Tensor, (states_BTD * weights_BT1).sum(dim=1) / weights_BT1.sum(dim=1))


class LatentAttention(nn.Module):
    """Each token asks the learned latents (the tokens are the queries), then passes a gated feed-forward layer."""

    def __init__(self, config: LatentAttentionConfig) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(config.num_latents_value, config.latent_dim))
        self.cross_attend_blocks = nn.ModuleList([CrossAttention(config), FeedForward(config)])

    def forward(self, states_BTD: Tensor) -> Tensor:
        """States of the same shape. Tokens don't see each other here."""
        attention, feed_forward = self.cross_attend_blocks
        keys_HLK, values_HLK = cast(CrossAttention, attention).keys_and_values(self.latents)
        chunks = []
        for chunk_ND in states_BTD.flatten(0, 1).split(CHUNK_TOKENS):
            attended_ND = chunk_ND + attention(chunk_ND, keys_HLK, values_HLK)
            chunks.append(attended_ND + feed_forward(attended_ND))
        return torch.cat(chunks).view_as(states_BTD)


class CrossAttention(nn.Module):
    """Attention of tokens to latents, both normalised first."""

    def __init__(self, config: LatentAttentionConfig) -> None:
        super().__init__()
        inner = config.num_cross_heads * config.cross_dim_head
        self.heads = config.num_cross_heads
        self.norm = nn.LayerNorm(config.latent_dim)
        self.norm_context = nn.LayerNorm(config.hidden_dim)
        self.fn = nn.ModuleDict(
            {
                "to_q": nn.Linear(config.latent_dim, inner, bias=False),
                "to_kv": nn.Linear(config.hidden_dim, 2 * inner, bias=False),
                "to_out": nn.Linear(inner, config.latent_dim, bias=False),
            }
        )

    def keys_and_values(self, latents_LD: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the latents, [H, L, K] each: the same for all texts, so computed once a batch."""
        keys_LX, values_LX = self.fn["to_kv"](self.norm_context(latents_LD)).chunk(2, dim=-1)
        return self._heads(keys_LX), self._heads(values_LX)

    def forward(self, states_ND: Tensor, keys_HLK: Tensor, values_HLK: Tensor) -> Tensor:
        """What each token takes from the latents, [N, D]."""
        queries_HNK = self._heads(self.fn["to_q"](self.norm(states_ND)))
        taken_HNK = functional.scaled_dot_product_attention(queries_HNK[None], keys_HLK[None], values_HLK[None])[0]
        return cast(Tensor, self.fn["to_out"](taken_HNK.transpose(0, 1).flatten(1)))

    def _heads(self, rows_NX: Tensor) -> Tensor:
        return rows_NX.view(len(rows_NX), self.heads, -1).transpose(0, 1)


class FeedForward(nn.Module):
    """A layer whose inner half is gated by the other, normalised first."""

    def __init__(self, config: LatentAttentionConfig) -> None:
        super().__init__()
        inner = config.latent_dim * config.mult
        self.norm = nn.LayerNorm(config.latent_dim)
        layers = nn.Sequential(
            nn.Linear(config.latent_dim, 2 * inner), GatedGelu(), nn.Linear(inner, config.latent_dim)
        )
        self.fn = nn.ModuleDict({"net": layers})

    def forward(self, states_ND: Tensor) -> Tensor:
        """[N, D]."""
        return cast(Tensor, self.fn["net"](self.norm(states_ND)))


class GatedGelu(nn.Module):
    """The first half, times the GELU (with erf) of the second (Shazeer 2020)."""

    def forward(self, rows_NX: Tensor) -> Tensor:
        """Half as many columns."""
        values, gates = rows_NX.chunk(2, dim=-1)
        return values * functional.gelu(gates)


def _mistral_config(config: TextConfig) -> MistralConfig:
    return MistralConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        hidden_act=config.hidden_act,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        sliding_window=None,  # the published 4096 holds for Mistral's causal mask, which this model has not
        use_cache=False,
        attn_implementation="sdpa",
    )
