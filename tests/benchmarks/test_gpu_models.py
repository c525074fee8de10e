import ast
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperForConditionalGeneration

from benchmarks import gpu_operations
from benchmarks.gpu_models import Meter, Row, main, musicfm_network, tiny_scale, whisper_search
from benchmarks.gpu_operations import PROMPT_TOKENS
from resources.networks.nv_embed import NVEmbed

CPU = torch.device("cpu")
TINY = tiny_scale()
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny products are slower on several
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whisper() -> WhisperForConditionalGeneration:
    """A tiny Whisper."""
    torch.manual_seed(1)
    return WhisperForConditionalGeneration(TINY.whisper).eval()


def operations(work) -> int:
    """What torch's own counter says of a call."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_every_part_measures_something_and_nothing_fails(tmp_path: Path) -> None:
    """A tiny run has a figure in each row, of all models, and its file holds the same rows."""
    rows = main(["--tiny", "--out", str(tmp_path / "rows.json")])
    assert all(row.value is not None and row.value > 0 and "failed" not in row.note for row in rows), rows
    assert {row.name.split()[0] for row in rows} == {"matrix", "musicfm", "whisper", "nv-embed"}
    assert len({(row.name, row.unit, row.batch, row.dtype) for row in rows}) == len(rows)
    assert json.loads((tmp_path / "rows.json").read_text()) == [row._asdict() for row in rows]


def test_failure_is_a_row_and_the_rest_goes_on() -> None:
    """Work that raises leaves a row with the reason and no figure; the next is measured."""
    meter = Meter(CPU, TINY, out=None)
    row = Row("one", None, "things/s", 1, "float32")
    assert meter.record(row, partial(torch.zeros, -1), amount=1) is None
    assert meter.record(row, partial(torch.full, (1,), float("nan")), amount=1) is None
    assert meter.record(row, partial(torch.zeros, 1), amount=1)
    assert [(kept.value is None, kept.note.split(":")[0]) for kept in meter.rows] == [
        (True, "failed"),
        (True, "failed"),
        (False, ""),
    ]


def test_musicfm_operations_are_those_torch_counts() -> None:
    """The formula and torch's counter agree on odd sizes."""
    network = musicfm_network(TINY.musicfm, CPU, torch.float32)
    counted = operations(lambda: network([torch.randn(TINY.musicfm.mels, 27)], layer=2))
    assert gpu_operations.musicfm(TINY.musicfm, frames=27, layer=2) == counted


def test_whisper_encoder_operations_are_those_torch_counts(whisper: WhisperForConditionalGeneration) -> None:
    """The formula and torch's counter agree on two windows."""
    counted = operations(lambda: whisper.get_encoder()(torch.randn(2, 8, 30)))
    assert 2 * gpu_operations.whisper_encoder(TINY.whisper) == counted


@pytest.mark.parametrize("beams", [1, 3])
def test_whisper_decoder_operations_are_those_torch_counts(
    whisper: WhisperForConditionalGeneration, beams: int
) -> None:
    """The formula and torch's counter agree on two windows, greedily and with beams."""
    states = torch.randn(2, 15, 16)
    counted = operations(lambda: whisper_search(whisper, states, tokens=5, beams=beams))
    expected = gpu_operations.whisper_decoder(TINY.whisper, tokens=5, beams=beams)
    assert 2 * expected == counted


def test_nv_embed_operations_are_those_torch_counts() -> None:
    """The formula and torch's counter agree on three texts."""
    is_token = torch.ones(3, 7, dtype=torch.bool)
    network = NVEmbed(TINY.nv_embed).eval()
    counted = operations(lambda: network(is_token.long(), is_token, is_token))
    assert gpu_operations.nv_embed(TINY.nv_embed, texts=3, tokens=7) == counted


def test_beams_are_those_of_a_search_without_a_cache(whisper: WhisperForConditionalGeneration) -> None:
    """Their log probabilities are those of texts that are each read anew at every step."""
    states, prompt = torch.randn(2, 15, 16), [1] * PROMPT_TOKENS
    with torch.inference_mode():
        found = whisper_search(whisper, states, tokens=4, beams=3)
        for window in range(2):
            texts = [(0.0, prompt)]
            for _ in range(4):
                grown = []
                for total, text in texts:
                    ids = torch.tensor([text])
                    seen = whisper(decoder_input_ids=ids, encoder_outputs=(states[window : window + 1],))
                    values, tokens = seen.logits[0, -1].log_softmax(dim=-1).topk(3)
                    pairs = zip(values.tolist(), tokens.tolist(), strict=True)
                    grown += [(total + value, [*text, token]) for value, token in pairs]
                texts = sorted(grown, reverse=True)[:3]
            assert found[window].tolist() == pytest.approx([total for total, _ in texts], abs=1e-4)


def test_needs_nothing_that_a_gpu_machine_lacks() -> None:
    """The benchmark and the networks import Python's own library, torch, transformers, numpy and each other."""
    files = [ROOT / "benchmarks" / name for name in ("__init__.py", "gpu_models.py", "gpu_operations.py")]
    files += [ROOT / "resources/__init__.py", *(ROOT / "resources/networks").glob("*.py")]
    imported = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    foreign = {
        name for name in imported if name.split(".")[0] not in {*sys.stdlib_module_names, "torch", "transformers"}
    }
    assert foreign <= {
        "numpy",
        "benchmarks",
        "benchmarks.gpu_operations",
        "resources.networks",
        *(f"resources.networks.{f.stem}" for f in files),
    }
