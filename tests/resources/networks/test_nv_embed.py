import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from resources.checkpoints import folder_tensors, load_strictly
from resources.networks.nv_embed import LatentAttentionConfig, NVEmbed, NVEmbedConfig, TextConfig
from resources.sample.checkpoints.nv_embed import write

TINY = NVEmbedConfig(
    text_config=TextConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    latent_attention_config=LatentAttentionConfig(
        num_latents_value=5, latent_dim=16, hidden_dim=16, num_cross_heads=2, cross_dim_head=6
    ),
)


@pytest.fixture(scope="module")
def network() -> NVEmbed:
    """A tiny network with norms and biases that are not their first values."""
    torch.manual_seed(0)
    network = NVEmbed(TINY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return network


def means(network: NVEmbed, ids: list[list[int]], pooled: list[list[int]] | None = None) -> Tensor:
    """The network's vectors of texts of several lengths, padded with token 2."""
    longest = max(map(len, ids))
    ids_BT = torch.tensor([row + [2] * (longest - len(row)) for row in ids])
    is_token_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]).bool()
    is_pooled_BT = is_token_BT if pooled is None else torch.tensor(pooled).bool()
    with torch.inference_mode():
        return network(ids_BT, is_token_BT, is_pooled_BT)


def reference(weights: dict[str, Tensor], config: NVEmbedConfig, ids: list[int], pooled: list[int]) -> Tensor:
    """The vector of one text, from the papers' formulas and the published names alone."""
    text, latent = config.text_config, config.latent_attention_config
    states = weights["embedding_model.embed_tokens.weight"][torch.tensor(ids)]
    for layer in range(text.num_hidden_layers):
        own = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix := f"embedding_model.layers.{layer}.")
        }
        states = states + self_attention(own, text, rms_norm(states, own["input_layernorm.weight"], text.rms_norm_eps))
        normed = rms_norm(states, own["post_attention_layernorm.weight"], text.rms_norm_eps)
        gate, up = normed @ own["mlp.gate_proj.weight"].T, normed @ own["mlp.up_proj.weight"].T
        states = states + (gate * torch.sigmoid(gate) * up) @ own["mlp.down_proj.weight"].T
    states = rms_norm(states, weights["embedding_model.norm.weight"], text.rms_norm_eps)

    own = {key.removeprefix("latent_attention_model."): value for key, value in weights.items()}
    attend, feed = "cross_attend_blocks.0.", "cross_attend_blocks.1."
    queries = layer_norm(states, own, attend + "norm") @ own[attend + "fn.to_q.weight"].T
    context = layer_norm(own["latents"], own, attend + "norm_context") @ own[attend + "fn.to_kv.weight"].T
    inner = latent.num_cross_heads * latent.cross_dim_head
    taken = []
    for head in range(latent.num_cross_heads):
        part = slice(head * latent.cross_dim_head, (head + 1) * latent.cross_dim_head)
        keys, values = context[:, :inner][:, part], context[:, inner:][:, part]
        taken.append(torch.softmax(queries[:, part] @ keys.T / latent.cross_dim_head**0.5, dim=-1) @ values)
    states = states + torch.cat(taken, dim=1) @ own[attend + "fn.to_out.weight"].T
    wide = layer_norm(states, own, feed + "norm") @ own[feed + "fn.net.0.weight"].T + own[feed + "fn.net.0.bias"]
    plain, gates = wide[:, : wide.shape[1] // 2], wide[:, wide.shape[1] // 2 :]
    gated = plain * gates * 0.5 * (1 + torch.erf(gates / 2**0.5))
    states = states + gated @ own[feed + "fn.net.2.weight"].T + own[feed + "fn.net.2.bias"]
    return states[torch.tensor(pooled).bool()].mean(dim=0)


def self_attention(own: dict[str, Tensor], text: TextConfig, states: Tensor) -> Tensor:
    """Attention of every token to every token, with rotary positions and shared keys."""
    size = text.hidden_size // text.num_attention_heads
    frequencies = text.rope_theta ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(len(states))[:, None] * frequencies[None]
    turned = []
    for head in range(text.num_attention_heads):
        shared = head // (text.num_attention_heads // text.num_key_value_heads)
        query = states @ own["self_attn.q_proj.weight"][head * size : (head + 1) * size].T
        key = states @ own["self_attn.k_proj.weight"][shared * size : (shared + 1) * size].T
        value = states @ own["self_attn.v_proj.weight"][shared * size : (shared + 1) * size].T
        scores = rotate(query, angles) @ rotate(key, angles).T / size**0.5
        turned.append(torch.softmax(scores, dim=-1) @ value)
    return torch.cat(turned, dim=1) @ own["self_attn.o_proj.weight"].T


def rotate(rows: Tensor, angles: Tensor) -> Tensor:
    """Each pair (x_i, x_{i + half}) turned by its position's angle."""
    first, second = rows.chunk(2, dim=1)
    return torch.cat(
        [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=1
    )


def rms_norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Rows divided by their root mean square."""
    return weight * states / (states.pow(2).mean(dim=1, keepdim=True) + eps).sqrt()


def layer_norm(states: Tensor, own: dict[str, Tensor], name: str) -> Tensor:
    """Rows with mean 0 and variance 1, scaled and shifted."""
    return functional.layer_norm(states, states.shape[1:], own[f"{name}.weight"], own[f"{name}.bias"], eps=1e-5)


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Every key of the published shards."""
    shapes: dict[str, tuple[int, ...]] = {"embedding_model.embed_tokens.weight": (32000, 4096)}
    for layer in range(32):
        prefix = f"embedding_model.layers.{layer}."
        shapes |= {
            f"{prefix}self_attn.q_proj.weight": (4096, 4096),
            f"{prefix}self_attn.k_proj.weight": (1024, 4096),
            f"{prefix}self_attn.v_proj.weight": (1024, 4096),
            f"{prefix}self_attn.o_proj.weight": (4096, 4096),
            f"{prefix}mlp.gate_proj.weight": (14336, 4096),
            f"{prefix}mlp.up_proj.weight": (14336, 4096),
            f"{prefix}mlp.down_proj.weight": (4096, 14336),
            f"{prefix}input_layernorm.weight": (4096,),
            f"{prefix}post_attention_layernorm.weight": (4096,),
        }
    latent = "latent_attention_model."
    return shapes | {
        "embedding_model.norm.weight": (4096,),
        f"{latent}latents": (512, 4096),
        f"{latent}cross_attend_blocks.0.norm.weight": (4096,),
        f"{latent}cross_attend_blocks.0.norm.bias": (4096,),
        f"{latent}cross_attend_blocks.0.norm_context.weight": (4096,),
        f"{latent}cross_attend_blocks.0.norm_context.bias": (4096,),
        f"{latent}cross_attend_blocks.0.fn.to_q.weight": (32768, 4096),
        f"{latent}cross_attend_blocks.0.fn.to_kv.weight": (65536, 4096),
        f"{latent}cross_attend_blocks.0.fn.to_out.weight": (4096, 32768),
        f"{latent}cross_attend_blocks.1.norm.weight": (4096,),
        f"{latent}cross_attend_blocks.1.norm.bias": (4096,),
        f"{latent}cross_attend_blocks.1.fn.net.0.weight": (32768, 4096),
        f"{latent}cross_attend_blocks.1.fn.net.0.bias": (32768,),
        f"{latent}cross_attend_blocks.1.fn.net.2.weight": (4096, 16384),
        f"{latent}cross_attend_blocks.1.fn.net.2.bias": (4096,),
    }


def test_published_size_has_the_official_keys_and_shapes() -> None:
    """Without any setting it is NV-Embed-v2: 304 tensors, 7.85 billion numbers, 15.70 GB in 16 bits."""
    with torch.device("meta"):
        network = NVEmbed(NVEmbedConfig())
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == official_shapes()
    assert sum(parameter.numel() for parameter in network.parameters()) == 7_851_016_192


def test_tiny_checkpoint_has_the_official_keys(tmp_path: Path) -> None:
    """But for the number of layers, the sample's shards hold what the published ones hold, and the index says where."""
    folder = tmp_path / write(tmp_path)["MUSIC_NV_EMBED__FOLDER"]
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(index) == {
        key for key in official_shapes() if ".layers." not in key or ".layers.0." in key or ".layers.1." in key
    }
    assert len(set(index.values())) == 2
    for shard in set(index.values()):
        assert set(load_file(folder / shard)) == {key for key, place in index.items() if place == shard}


def test_equals_the_written_out_network(network: NVEmbed) -> None:
    """The network computes what the formulas say, and pools what the mask says."""
    ids, pooled = [1, 7, 30, 8, 44, 19, 2], [0, 0, 1, 1, 1, 1, 1]
    expected = reference(network.state_dict(), TINY, ids, pooled)
    assert torch.allclose(means(network, [ids], [pooled])[0], expected, atol=1e-5)


def test_many_tokens_go_through_the_latents_in_pieces(network: NVEmbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of three tokens, or all at once: the same states."""
    ids = [[1, 5, 9, 12, 2], [1, 40, 41, 2]]
    whole = means(network, ids)
    monkeypatch.setattr("resources.networks.nv_embed.CHUNK_TOKENS", 3)
    assert torch.allclose(means(network, ids), whole, atol=1e-6)


def test_first_token_sees_the_last(network: NVEmbed) -> None:
    """Attention is not causal: another last token changes the first token's state."""
    first_only = [[1, 0, 0, 0, 0]]
    one = means(network, [[1, 5, 9, 12, 3]], first_only)
    other = means(network, [[1, 5, 9, 12, 4]], first_only)
    assert (one - other).abs().max() > 1e-3


def test_far_tokens_are_seen() -> None:
    """No sliding window is left, whatever the published text_config says of one."""
    with torch.device("meta"):
        assert NVEmbed(NVEmbedConfig()).embedding_model.config.sliding_window is None


def test_padding_has_no_influence(network: NVEmbed) -> None:
    """A text's vector is the same beside a longer one, whichever token the padding is."""
    alone = means(network, [[1, 5, 2]])[0]
    beside = means(network, [[1, 5, 2], [1, 30, 31, 32, 33, 34, 2]])[0]
    assert torch.allclose(alone, beside, atol=1e-5)
    ids_BT = torch.tensor([[1, 5, 2, 0, 0], [1, 5, 2, 49, 48]])
    is_token_BT = torch.tensor([[1, 1, 1, 0, 0]] * 2).bool()
    with torch.inference_mode():
        one, other = network(ids_BT, is_token_BT, is_token_BT)
    assert torch.equal(one, other)


def test_position_matters(network: NVEmbed) -> None:
    """Two tokens in the other order are another text."""
    assert (means(network, [[1, 5, 9, 2]]) - means(network, [[1, 9, 5, 2]])).abs().max() > 1e-3


def test_built_on_meta_and_loaded_it_equals_the_one_built_on_the_processor(network: NVEmbed) -> None:
    """What no checkpoint holds, the rotary frequencies, is there all the same."""
    with torch.device("meta"):
        loaded = NVEmbed(TINY)
    load_strictly(loaded, network.state_dict(), source="memory")
    assert torch.equal(means(loaded.eval(), [[1, 5, 9, 2]]), means(network, [[1, 5, 9, 2]]))


def test_published_layout_loads_strictly(tmp_path: Path) -> None:
    """The sample folder's shards fill the network of its config, no key missing and none left over."""
    import msgspec

    folder = tmp_path / write(tmp_path)["MUSIC_NV_EMBED__FOLDER"]
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=NVEmbedConfig)
    network = NVEmbed(config)
    load_strictly(network, folder_tensors(folder), source="sample")
    assert network.latent_attention_model.latents.dtype == torch.float16
