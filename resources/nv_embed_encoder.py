"""Texts through NV-Embed-v2: its official way from a text to tokens, masks and a mean, on our own network."""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from resources.batching import Batches
from resources.checkpoints import CheckpointError, folder_sha256, folder_tensors, load_strictly
from resources.model_settings import NVEmbed
from resources.refusals import Refusal
from resources.text_encoder import Vector, unit_vectors
from resources.torch_turn import Turn, device_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from resources.networks import nv_embed

EOS = "</s>"
WANTED = {"model_type": "nvembed", "mask_type": "b", "padding_side": "right"}  # of config.json; b: bidirectional


class _Tokenizing(NamedTuple):
    tokenizer: "Tokenizer"
    pad: int
    unpooled: int  # tokens at the beginning of each text that the mean leaves out


class NVEmbedEncoder:
    """NV-Embed-v2 from a folder as published.

    Reasons: empty_text, out_of_memory, bad_embedding (not finite, or of length 0).
    """

    def __init__(self, settings: NVEmbed, *, models: Path, turn: Turn, device: str = "auto") -> None:
        self._settings = settings
        self._folder = models / settings.folder
        self._turn = turn
        self._device = device
        self._batches = Batches(settings.texts)
        self._reading = threading.Lock()
        self._running = threading.Lock()

    @property
    def name(self) -> str:
        """The model's hash and the settings that change a vector."""
        settings = self._settings
        return (
            f"NV-Embed {folder_sha256(self._folder)[:12]}, instruction {settings.instruction!r}, "
            f"at most {settings.max_tokens} tokens, {settings.precision}"
        )

    @property
    def dimensions(self) -> int:
        """The length of a vector; read from config.json."""
        return self._config.text_config.hidden_size

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per text, in order.

        Raises CheckpointError for a folder that is not there or not this model's, ValueError for an instruction that
        leaves no room for a text.
        """
        # A lone surrogate, as a broken JSON escape leaves it, is no text.
        plain = [text.encode("utf-8", "ignore").decode() for text in texts]
        filled = [position for position, text in enumerate(plain) if text.strip()]
        with self._turn.features():
            rows = self._tokens([plain[position] for position in filled])
        results: list[Vector | Refusal] = []
        if rows:
            with self._running:
                # Loaded before the run: there, a lack of memory for the model would be taken for one of a batch.
                means = functools.partial(self._means, self._network)
                results = self._batches.run(rows, [len(row) for row in rows], means)
        return unit_vectors(self.name, texts, dict(zip(filled, results, strict=True)))

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        """`<s>`, instruction, text, `</s>`, cut at the end: too long a text loses its `</s>`, as officially."""
        with self._reading:
            tokenizer = self._tokenizing.tokenizer
        written = [self._settings.instruction + text + EOS for text in texts]
        return [encoding.ids for encoding in tokenizer.encode_batch(written)]

    def _means(self, network: "nv_embed.NVEmbed", rows: list[list[int]]) -> list[Vector]:
        import torch

        device, tokenizing = device_of(self._device), self._tokenizing
        lengths_B1 = torch.tensor([[len(row)] for row in rows])
        longest = max(len(row) for row in rows)
        ids_BT = torch.tensor([row + [tokenizing.pad] * (longest - len(row)) for row in rows])
        is_token_BT = torch.arange(longest)[None] < lengths_B1
        is_pooled_BT = is_token_BT & (torch.arange(longest) >= tokenizing.unpooled)
        with self._turn.model():
            means_BD = network(ids_BT.to(device), is_token_BT.to(device), is_pooled_BT.to(device))
            return list(means_BD.cpu().numpy())

    @functools.cached_property
    def _config(self) -> "nv_embed.NVEmbedConfig":
        from resources.networks.nv_embed import NVEmbedConfig

        path = self._folder / "config.json"
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; MUSIC_MODELS names the folder that models lie in")
        try:
            written = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
            config = msgspec.convert(written, NVEmbedConfig)
        except msgspec.MsgspecError as error:
            raise CheckpointError(f"{path}: not NV-Embed-v2's: {error}") from error
        for key, wanted in WANTED.items():
            if written.get(key) != wanted:
                raise CheckpointError(f"{path}: not NV-Embed-v2's: {key} is {written.get(key)!r}; expected {wanted!r}")
        return config

    @functools.cached_property
    def _tokenizing(self) -> _Tokenizing:
        """Straight from tokenizer.json: transformers 5 rebuilds it with rules of its own for spaces."""
        from tokenizers import Tokenizer

        path, settings, network = self._folder / "tokenizer.json", self._settings, self._config
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; expected NV-Embed-v2's tokenizer")
        tokenizer = Tokenizer.from_file(str(path))
        pad = tokenizer.token_to_id(EOS)
        if pad is None or tokenizer.get_vocab_size() > network.text_config.vocab_size:
            raise CheckpointError(f"{path}: not NV-Embed-v2's: without {EOS}, or of more tokens than the model has")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        instruction = len(tokenizer.encode(settings.instruction, add_special_tokens=False).ids)
        if instruction + 2 > settings.max_tokens:
            raise ValueError(
                f"nv_embed.instruction has {instruction} tokens, of max_tokens={settings.max_tokens} with <s>: "
                "no room for a text; shorten it or raise max_tokens"
            )
        tokenizer.enable_truncation(settings.max_tokens)
        # Counted without <s>, masked with it: the official code too leaves the instruction's last token in the mean.
        return _Tokenizing(tokenizer, pad, instruction if network.is_mask_instruction else 0)

    @functools.cached_property
    def _network(self) -> "nv_embed.NVEmbed":
        import torch

        from resources.networks import nv_embed

        with torch.device("meta"):
            network = nv_embed.NVEmbed(self._config)
        load_strictly(network, folder_tensors(self._folder), source=str(self._folder))
        device, precision = device_of(self._device), getattr(torch, self._settings.precision)
        # Not Module.to: it would round the rotary frequencies, which are no parameters, to 16 bits as well.
        for parameter in network.parameters():
            parameter.data = parameter.data.to(device, precision)
        return network.to(device).eval()
