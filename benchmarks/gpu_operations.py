"""How many operations the published models are: a product of [N, K] and [K, M] is 2 N K M (Kaplan et al. 2020, 2.1).

Products and convolutions alone count; for the share of a device's matrix rate that they get.
"""

from transformers import WhisperConfig

from resources.networks.musicfm import Sizes
from resources.networks.nv_embed import NVEmbedConfig

PROMPT_TOKENS = 4  # start, language, task, no timestamps: what stands before Whisper's text


def musicfm(sizes: Sizes, *, frames: int, layer: int) -> int:
    """Of one chunk, from its features to what leaves this layer."""
    channels, hidden, height, width, reduction = sizes.channels, sizes.hidden, sizes.mels, frames, 0
    for entering in (1, channels):
        height, width = -(-height // 2), -(-width // 2)
        kernels = 3 * 3 * (2 * entering + channels) * channels  # two see what enters, one what another made of it
        reduction += 2 * kernels * height * width
    reduction += 2 * channels * height * hidden * width
    feed_forward, attention = 8 * hidden * sizes.inner, 8 * hidden**2 + 4 * width * hidden
    convolution = 6 * hidden**2 + 2 * sizes.kernel * hidden
    return reduction + layer * width * (feed_forward + attention + convolution)


def whisper_encoder(config: WhisperConfig) -> int:
    """Of one window."""
    hidden, times, inner = int(config.d_model), int(config.max_source_positions), int(config.encoder_ffn_dim)
    mels, layers = int(config.num_mel_bins), int(config.encoder_layers)
    convolutions = 2 * 3 * hidden * (2 * times * mels + times * hidden)
    return convolutions + layers * times * (8 * hidden**2 + 4 * times * hidden + 4 * hidden * inner)


def whisper_decoder(config: WhisperConfig, *, tokens: int, beams: int) -> int:
    """Of one window: a pass over the prompt, then one for each token but the last; only its last place has logits."""
    hidden, times, inner = int(config.d_model), int(config.max_source_positions), int(config.decoder_ffn_dim)
    prompt, passes = PROMPT_TOKENS, beams * (tokens - 1)
    attended = prompt**2 + passes * prompt + beams * (tokens - 1) * tokens // 2  # places of the text
    to_window = 4 * hidden**2 + 4 * times * hidden  # without its keys and values, which are made once
    a_place = 8 * hidden**2 + to_window + 4 * hidden * inner
    a_layer = 4 * hidden**2 * times + (prompt + passes) * a_place + 4 * hidden * attended
    return int(config.decoder_layers) * a_layer + (1 + passes) * 2 * hidden * int(config.vocab_size)


def nv_embed(config: NVEmbedConfig, *, texts: int, tokens: int) -> int:
    """Of a batch of equally long texts."""
    text, latent = config.text_config, config.latent_attention_config
    head = text.head_dim or text.hidden_size // text.num_attention_heads
    queries, keys = head * text.num_attention_heads, head * text.num_key_value_heads
    a_layer = text.hidden_size * (4 * (queries + keys) + 6 * text.intermediate_size) + 4 * tokens * queries
    inner = latent.num_cross_heads * latent.cross_dim_head
    asking = 4 * inner * (latent.latent_dim + latent.num_latents_value) + 6 * latent.mult * latent.latent_dim**2
    latents = 4 * latent.num_latents_value * latent.hidden_dim * inner
    return latents + texts * tokens * (text.num_hidden_layers * a_layer + asking)
