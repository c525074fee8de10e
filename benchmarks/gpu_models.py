"""Full-size models with random weights on one GPU: rates, memory, and the share of its bf16 matrix rate that they use.

`python -m benchmarks.gpu_models [--tiny] [--out FILE]` needs torch, transformers and numpy alone; `--tiny` tries all
of it on the CPU. `make bench` leaves it out: it states rates, and compares with nobody's.
"""

import argparse
import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmarks import gpu_operations
from benchmarks.gpu_operations import PROMPT_TOKENS
from resources.networks.musicfm import FILTERS, HOP, OFFICIAL, WINDOW, MusicFM, Sizes
from resources.networks.nv_embed import LatentAttentionConfig, NVEmbed, NVEmbedConfig, TextConfig

# B windows or texts, R rows of a batch (B, or K beams for each), T tokens or times, M mel bins, H hidden size, V words

WINDOWS_A_TRACK = 8  # four minutes, by the 30 s that MusicFM and Whisper hear at once
BEAMS = 5
ROUNDS = 5  # after one that warms up
LIMIT_S = 420.0  # nothing is begun after that
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def whisper_config(*, layers: int, heads: int, hidden: int, mels: int, times: int) -> WhisperConfig:
    """Whisper of any size, but with large-v3's vocabulary."""
    parts = {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * hidden}
    both = {f"{side}_{part}": size for side in ("encoder", "decoder") for part, size in parts.items()}
    own = {"vocab_size": 51_866, "num_mel_bins": mels, "d_model": hidden, "max_source_positions": times}
    return WhisperConfig(**own, **both, attn_implementation="sdpa")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large it all is; the defaults go with the published models."""

    whisper: WhisperConfig
    nv_embed: NVEmbedConfig
    matrix: int = 16_384  # rows and columns of the product that gives the device's rate
    musicfm: Sizes = OFFICIAL
    layer: int = 7  # the profile's
    chunk_samples: int = 30 * 24_000
    chunks: tuple[int, ...] = (1, 4, 16, 64)  # in a batch
    windows: tuple[int, ...] = (16, 48)  # in a batch
    window_tokens: int = 100  # our choice
    text_tokens: tuple[int, ...] = (64, 512, 4096)
    text_budgets: tuple[int, int] = (32_768, 4096)  # tokens in a batch, in bfloat16 and in float32


PUBLISHED = Scale(whisper_config(layers=32, heads=20, hidden=1280, mels=128, times=1500), NVEmbedConfig())


def tiny_scale() -> Scale:
    """The same work, shrunken to seconds on a CPU."""
    text = TextConfig(50, 16, 24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    return Scale(
        whisper_config(layers=2, heads=2, hidden=16, mels=8, times=15),
        NVEmbedConfig(text, LatentAttentionConfig(5, 16, 16, num_cross_heads=2, cross_dim_head=6)),
        matrix=64,
        musicfm=Sizes(window=512, mels=10, channels=4, hidden=8, inner=12, heads=2, kernel=5, layers=3),
        layer=2,
        chunk_samples=6000,
        chunks=(1, 2),
        windows=(2,),
        window_tokens=6,
        text_tokens=(4, 16),
        text_budgets=(32, 16),
    )


class Row(NamedTuple):
    """One figure; `note` says what it rests on, or why it is missing. The peak counts the weights."""

    name: str
    value: float | None
    unit: str
    batch: int
    dtype: str
    peak_gb: float | None = None
    share_of_matrix_rate: float | None = None
    note: str = ""


class Meter:
    """Times work, prints each row at once and rewrites `out`, so that a run that is cut short leaves what it has."""

    def __init__(self, device: torch.device, scale: Scale, *, out: Path | None) -> None:
        self.device, self.scale = device, scale
        self.rows: list[Row] = []
        self.matrix_rate = math.inf  # bf16 operations a second
        self._out, self._started_s = out, time.perf_counter()
        print(f"{'name':<26}{'batch':>6} {'dtype':<9}{'value':>10} {'unit':<10}{'peak GB':>8}{'share':>8}")

    def add(self, row: Row) -> None:
        """Keeps and prints a row."""
        self.rows.append(row)
        value = "-" if row.value is None else f"{row.value:,.4g}"
        peak = "" if row.peak_gb is None else f"{row.peak_gb:.1f}"
        share = "" if row.share_of_matrix_rate is None else f"{row.share_of_matrix_rate:.1%}"
        figures = f"{row.batch:>6} {row.dtype:<9}{value:>10} {row.unit:<10}{peak:>8}{share:>8} {row.note}"
        print(f"{row.name:<26}{figures}".rstrip(), flush=True)
        if self._out:
            self._out.write_text(json.dumps([kept._asdict() for kept in self.rows], indent=1) + "\n", encoding="utf-8")

    def record(self, row: Row, work: Callable[[], Any], *, amount: float, operations: float = 0) -> float | None:
        """Seconds of a round of `work`, which makes `amount` of the row's unit; None if it failed."""
        with self.going_on(row):
            if time.perf_counter() - self._started_s > LIMIT_S:
                raise TimeoutError("not begun, for the time is up")
            seconds = self._median_s(work)
            peak_gb = torch.cuda.max_memory_allocated() / 1e9 if self.device.type == "cuda" else None
            share = operations / seconds / self.matrix_rate or None
            self.add(row._replace(value=amount / seconds, peak_gb=peak_gb, share_of_matrix_rate=share))
            return seconds
        return None

    @contextmanager
    def going_on(self, row: Row) -> Iterator[None]:
        """What fails inside becomes a row that says so; the rest goes on."""
        try:
            yield
        except Exception as error:  # whatever it is, it must not cost the other figures
            self.add(row._replace(note=f"failed: {type(error).__name__}: {' '.join(str(error).split())[:100]}"))

    def _median_s(self, work: Callable[[], Any]) -> float:
        if self.device.type == "cuda":
            gc.collect()  # or the peak might count a model that is gone
            torch.cuda.reset_peak_memory_stats()
        made = work()
        if not (made if isinstance(made, Tensor) else made[0]).isfinite().all():
            raise ArithmeticError("infinite numbers, or none")
        times_s = []
        for _ in range(ROUNDS):
            started = self._idle_at_s()
            work()
            times_s.append(self._idle_at_s() - started)
        return statistics.median(times_s)

    def _idle_at_s(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def measure_matrices(meter: Meter) -> None:
    """The rate of large products of random matrices; the one in bfloat16 is what shares are of."""
    size = meter.scale.matrix
    for numbers, dtype in DTYPES.items():
        left, right = torch.randn(2, size, size, device=meter.device, dtype=dtype)
        row = Row("matrix product", None, "TFLOP/s", size, numbers)
        seconds = meter.record(row, partial(torch.mm, left, right), amount=2 * size**3 / 1e12, operations=2 * size**3)
        if numbers == "bfloat16" and seconds:
            meter.matrix_rate = 2 * size**3 / seconds


def measure_musicfm(meter: Meter) -> None:
    """MusicFM: the profile's bfloat16 (autocast), bfloat16 weights, and float32; tracks a second are with features."""
    scale, device, features_s = meter.scale, meter.device, None
    frames = scale.chunk_samples // HOP
    operations = gpu_operations.musicfm(scale.musicfm, frames=frames, layer=scale.layer)
    for numbers in ("autocast", "bfloat16", "float32"):
        dtype = DTYPES.get(numbers, torch.float32)
        network = musicfm_network(scale.musicfm, device, dtype)
        if numbers == "autocast":
            features = partial(network.features, torch.randn(scale.chunk_samples, device=device))
            features_s = meter.record(Row("musicfm features", None, "chunks/s", 1, "float32"), features, amount=1)
        heard = list(torch.randn(max(scale.chunks), scale.musicfm.mels, frames, device=device, dtype=dtype))
        for layout, name in ((torch.contiguous_format, "contiguous"), (torch.channels_last, "channels_last")):
            torch.nn.utils.convert_conv2d_weight_memory_format(network.conv, layout)
            for batch in scale.chunks:
                row = Row(f"musicfm {name}", None, "chunks/s", batch, numbers)
                work = partial(network, heard[:batch], layer=scale.layer)
                with torch.autocast(device.type, torch.bfloat16, enabled=numbers == "autocast"):
                    seconds = meter.record(row, work, amount=batch, operations=batch * operations)
                if seconds and features_s:
                    rate = 1 / (WINDOWS_A_TRACK * (seconds / batch + features_s))
                    meter.add(row._replace(value=rate, unit="tracks/s"))


def measure_nv_embed(meter: Meter) -> None:
    """NV-Embed on batches of texts that are equally long."""
    config, scale = meter.scale.nv_embed, meter.scale
    for (numbers, dtype), budget in zip(DTYPES.items(), scale.text_budgets, strict=True):
        with made_on(meter.device, dtype):
            network = NVEmbed(config).eval().to(meter.device)
        for tokens in scale.text_tokens:
            texts = max(1, budget // tokens)
            ids_BT = torch.randint(config.text_config.vocab_size, (texts, tokens), device=meter.device)
            is_token_BT = torch.ones_like(ids_BT, dtype=torch.bool)
            row = Row(f"nv-embed {tokens} tokens", None, "texts/s", texts, numbers)
            operations = gpu_operations.nv_embed(config, texts=texts, tokens=tokens)
            meter.record(row, partial(network, ids_BT, is_token_BT, is_token_BT), amount=texts, operations=operations)


def measure_whisper(meter: Meter) -> None:
    """Whisper's encoder, and its decoder on what that made, greedily and with beams; tracks a second are of both."""
    config, tokens = meter.scale.whisper, meter.scale.window_tokens
    for numbers, dtype in DTYPES.items():
        with made_on(meter.device, dtype):
            model = WhisperForConditionalGeneration(config).eval()
        for batch in meter.scale.windows:
            with made_on(meter.device, dtype):
                mel_BMT = torch.randn(batch, config.num_mel_bins, 2 * config.max_source_positions)
            encode = partial(model.get_encoder(), mel_BMT)
            row = Row("whisper encoder", None, "windows/s", batch, numbers)
            operations = batch * gpu_operations.whisper_encoder(config)
            encoder_s = meter.record(row, encode, amount=batch, operations=operations)
            if not encoder_s:
                continue
            for beams, name in ((1, "whisper greedy"), (BEAMS, f"whisper {BEAMS} beams")):
                row = row._replace(name=name, unit="tokens/s")
                decode = partial(whisper_search, model, encode()[0], tokens=tokens, beams=beams)
                operations = batch * gpu_operations.whisper_decoder(config, tokens=tokens, beams=beams)
                seconds = meter.record(row, decode, amount=batch * tokens, operations=operations)
                if seconds:
                    rate = batch / (WINDOWS_A_TRACK * (encoder_s + seconds))
                    meter.add(row._replace(value=rate, unit="tracks/s", note=f"{tokens} tokens a window"))


def whisper_search(model: WhisperForConditionalGeneration, states_BTH: Tensor, *, tokens: int, beams: int) -> Tensor:
    """The log probabilities [B, K] of each window's best texts of so many tokens; none ends early.

    A window's keys and values are computed once and then repeated; only those of the text follow the beams.
    """
    ids_RT = torch.ones(len(states_BTH), PROMPT_TOKENS, dtype=torch.long, device=states_BTH.device)
    first_B1 = beams * torch.arange(len(states_BTH), device=states_BTH.device)[:, None]
    total_BK = torch.zeros_like(first_B1, dtype=torch.float32)
    cache = None
    for token in range(tokens):
        seen = model.get_decoder()(ids_RT, encoder_hidden_states=states_BTH, past_key_values=cache, use_cache=True)
        cache = seen.past_key_values
        grown_RV = total_BK.view(-1, 1) + model.proj_out(seen.last_hidden_state[:, -1]).float().log_softmax(dim=-1)
        total_BK, places_BK = grown_RV.view(len(first_B1), -1).topk(beams)
        ids_RT = (places_BK % grown_RV.shape[1]).view(-1, 1)
        if token == 0:
            cache.batch_repeat_interleave(beams)
            states_BTH = states_BTH.repeat_interleave(beams, dim=0)
        elif beams > 1:
            cache.self_attention_cache.reorder_cache((first_B1 + places_BK // grown_RV.shape[1]).flatten())
    return total_BK


def musicfm_network(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> MusicFM:
    """MusicFM with random weights and filters; angles and window are as in a checkpoint."""
    with made_on(device, dtype):
        network = MusicFM(sizes).eval()
    numbers = sizes.hidden // sizes.heads  # of a head
    network.conformer.embed_positions.inv_freq = 10_000 ** (-torch.arange(0, numbers, 2, device=device) / numbers)
    network.get_buffer(WINDOW).copy_(torch.hann_window(sizes.window))
    network.get_buffer(FILTERS).uniform_()
    return network


@contextmanager
def made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """What is made inside is there and of that type from the first; no copy of weights is ever on the host."""
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def main(arguments: list[str] | None = None) -> list[Row]:
    """Measures all models, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_models", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny models, on the CPU")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    chosen = parser.parse_args(arguments)
    where = "CPU" if chosen.tiny else torch.cuda.get_device_name()
    tf32 = f"in convolutions {torch.backends.cudnn.allow_tf32}, in products {torch.backends.cuda.matmul.allow_tf32}"
    print(f"{where}, torch {torch.__version__}, transformers {transformers.__version__}; float32 has TF32 {tf32}")
    device, scale = (torch.device("cpu"), tiny_scale()) if chosen.tiny else (torch.device("cuda"), PUBLISHED)
    meter = Meter(device, scale, out=chosen.out)
    torch.manual_seed(0)
    with torch.inference_mode():
        for part in (measure_matrices, measure_musicfm, measure_nv_embed, measure_whisper):
            with meter.going_on(Row(part.__name__, None, "", 0, "")):
                part(meter)
    return meter.rows


if __name__ == "__main__":
    main()
