"""Training: the steps are those of a plain loop, and what was interrupted ends as what was not."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch

from assets.training.losses import Blank
from assets.training.progress import read_tensors
from assets.training.row_order import Place, draw_rows
from assets.training.self_similarity import self_similarity_loss
from assets.training.stepping import learning_rate
from resources.talkplay_settings import Talkplay

SWEEP = Path(__file__).with_name("training_sweep.py")
HIDDEN = Blank(first=0, stop=20, missing=19)
PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The small training of the kill sweep."""
    specification = importlib.util.spec_from_file_location("training_sweep", SWEEP)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def plain_losses(model, rows) -> tuple[torch.Tensor, int]:
    """Cross-entropy summed over labels, sequence by sequence, and how many there are."""
    total, labels = torch.zeros(()), 0
    for ids_C, labels_C, _ in torch.from_numpy(np.array(rows)).long():
        for part in (slice(0, 6), slice(6, 12)):
            logits_TV = model(ids_C[part][None]).logits[0, :-1]
            targets_T = labels_C[part][1:]
            total = total + torch.nn.functional.cross_entropy(logits_TV, targets_T, reduction="sum")
            labels += int((targets_T != -100).sum())
    return total, labels


def test_steps_are_those_of_a_plain_loop(small: ModuleType, tmp_path: Path) -> None:
    """Losses by source, lambda, decay, schedule and clipping, against the same written out, unpacked."""
    settings = small.small_settings(playlist_weight=0.5, self_similarity=3.0, rows_at_once=2)
    changes = {"playlist_weight": 0.5, "self_similarity": 3.0, "rows_at_once": 2}
    sources = small.small_sources(validation=0)
    model, trained = small.small_training(tmp_path, sources=sources, **changes)
    plain = small.small_model().eval()
    matrices = [tensor for tensor in plain.parameters() if tensor.ndim > 1]
    others = [tensor for tensor in plain.parameters() if tensor.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], fused=False
    )
    places = {"conversations": Place(), "playlists": Place()}
    for step in range(4):
        optimizer.zero_grad()
        loss = 3 * self_similarity_loss(plain.get_input_embeddings().weight, small.small_similarities())
        for name, count, weight in (("conversations", 3, 1.0), ("playlists", 1, 0.5)):
            rows = sources[name].train.rows
            drawn = draw_rows(places[name], count, name=name, rows=len(rows), seed=7)
            places[name] = drawn.place
            total, labels = plain_losses(plain, rows[drawn.rows_B])
            loss = loss + weight * total / labels
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        optimizer.step()
        row = trained.curves.row(step, named=True)
        assert row["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
        assert row["gradient_norm"] == pytest.approx(float(norm), rel=1e-3)
    for got, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def test_a_step_cut_into_passes_is_the_same_step(small: ModuleType, tmp_path: Path) -> None:
    """Four rows at once, or one after the other though their labels differ in number."""
    whole, _ = small.small_training(tmp_path / "whole")
    cut, _ = small.small_training(tmp_path / "cut", rows_at_once=1)
    for got, wanted in zip(cut.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-5)


def test_killed_between_any_two_writes_it_ends_with_the_same_bits(small: ModuleType, tmp_path: Path) -> None:
    """Weights and curves of every training that was killed and resumed equal an undisturbed one's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SWEEP), str(tmp_path / "sweep")],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    digests = done.stdout.split()
    assert len(digests) > 20
    assert set(digests) == {small.digest(*small.small_training(tmp_path / "undisturbed"))}


def test_a_training_stopped_at_a_checkpoint_goes_on_from_there(small: ModuleType, tmp_path: Path) -> None:
    """With the run's lines as witness: of eight steps only the last four are made again, to the same bits."""
    changes = {"steps": 8, "checkpoint_every": 4, "hidden": HIDDEN, "unseen_share": 0.5}
    wanted = small.digest(*small.small_training(tmp_path / "whole", **changes))

    def stop(line: str) -> None:
        if line.startswith("step 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.small_training(tmp_path / "cut", log=stop, **changes)
    lines: list[str] = []
    assert small.digest(*small.small_training(tmp_path / "cut", log=lines.append, **changes)) == wanted
    assert lines[0].startswith("going on from")
    assert [line.split(":")[0] for line in lines[1:]] == ["step 6", "step 8"]


def test_a_finished_training_is_not_repeated(small: ModuleType, tmp_path: Path) -> None:
    """A second call gives the same model without a step, of the best weights alone that were kept."""
    first = small.digest(*small.small_training(tmp_path))
    lines: list[str] = []
    assert small.digest(*small.small_training(tmp_path, log=lines.append)) == first
    assert lines == []
    kept = read_tensors(tmp_path / "step-000000004")
    assert [bool(tensors) for tensors in kept] == [False, True, False]


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.04}, {"seed": 8}, {"has_self_similarity": False}, {"unseen_share": 0.2}, {"hidden": None}],
)
def test_a_checkpoint_of_another_training_is_left_out(small: ModuleType, tmp_path: Path, change: dict) -> None:
    """With another setting or seed training begins anew, and says so; its result is as without the checkpoint."""
    used = small.digest(*small.small_training(tmp_path / "used", hidden=HIDDEN))
    lines: list[str] = []
    found = small.digest(*small.small_training(tmp_path / "used", log=lines.append, **{"hidden": HIDDEN, **change}))
    assert "it is of other settings" in lines[0]
    assert used != found == small.digest(*small.small_training(tmp_path / "new", **{"hidden": HIDDEN, **change}))


def test_other_rows_are_another_training(small: ModuleType, tmp_path: Path) -> None:
    """A checkpoint of other data is left out, even if the rows are as many."""
    small.small_training(tmp_path)
    sources = small.small_sources()
    sources["playlists"].train.rows[0, 0, 0] ^= 1
    lines: list[str] = []
    small.small_training(tmp_path, sources=sources, log=lines.append)
    assert "it is of other settings, data" in lines[0]


def test_it_stops_when_validation_gets_no_better(small: ModuleType, tmp_path: Path) -> None:
    """After `patience` validations above the best; the model then holds the weights of the best."""
    model, trained = small.small_training(tmp_path, steps=40, learning_rate=2.0, patience=3, schedule="constant")
    losses = trained.curves.filter(pl.col("split") == "validation").select(
        "step", entropy=pl.col("conversations") + pl.col("playlists")
    )
    best = losses.row(losses["entropy"].arg_min())
    assert trained.stopped_early
    assert (trained.best_step, trained.best_loss) == pytest.approx(best)
    assert trained.steps == trained.best_step + 3 * 2
    sums = [plain_losses(model, source.validation.rows) for source in small.small_sources().values()]
    assert sum(float(total.detach()) / labels for total, labels in sums) == pytest.approx(trained.best_loss, rel=1e-4)


def test_without_validation_rows_the_last_weights_are_the_result(small: ModuleType, tmp_path: Path) -> None:
    """All steps are made; there is no best loss."""
    _, trained = small.small_training(tmp_path, sources=small.small_sources(validation=0))
    assert (trained.steps, trained.best_step) == (4, 4)
    assert math.isnan(trained.best_loss)
    assert set(trained.curves["split"]) == {"train"}


def test_a_source_without_rows_has_no_losses(small: ModuleType, tmp_path: Path) -> None:
    """Of no playlists the column is null, and the loss is that of conversations."""
    _, trained = small.small_training(tmp_path, sources=small.small_sources(playlists=0), has_self_similarity=False)
    rows = trained.curves.filter(pl.col("split") == "train")
    assert rows["playlists"].null_count() == rows.height
    assert rows["loss"].to_list() == rows["conversations"].to_list()
    assert rows["self_similarity"].min() > 0  # measured all the same


def test_three_steps_without_a_finite_gradient_are_an_error(small: ModuleType, tmp_path: Path) -> None:
    """Each is skipped with its rows named; the error names the checkpoint before them, whose weights are finite."""
    lines: list[str] = []
    model = small.small_model()

    def broken(line: str) -> None:
        lines.append(line)
        if line.startswith("step 4"):
            with torch.no_grad():
                model.lm_head.weight[0] = torch.inf

    with pytest.raises(RuntimeError, match=r"in a row.*last good checkpoint is .*step-000000002"):
        small.small_training(tmp_path, model=model, steps=9, log=broken)
    skipped = [line for line in lines if "is skipped" in line]
    assert [line.split(" is")[0] for line in skipped] == ["step 4", "step 5", "step 6"]
    assert all("of conversations" in line and "of playlists" in line for line in skipped)


def test_a_dropped_modality_is_not_learned(small: ModuleType, tmp_path: Path) -> None:
    """With all labels but the missing token's blanked away there is nothing to learn from."""
    _, trained = small.small_training(tmp_path, blank=Blank(0, 40, 39), has_self_similarity=False)
    assert trained.curves["conversations"].null_count() == trained.curves.height
    assert trained.curves["gradient_norm"].drop_nulls().to_list() == [0.0] * 4


def test_a_share_of_the_tracks_hides_a_modality_in_training_alone(small: ModuleType, tmp_path: Path) -> None:
    """Of the first weights the losses of training rows are others, and those of validation rows the same."""
    (_, plain), (_, hiding) = (
        small.small_training(tmp_path / str(share), hidden=HIDDEN, unseen_share=share) for share in (0.0, 0.5)
    )
    columns = ["conversations", "playlists"]
    for split, is_same in (("validation", True), ("train", False)):
        first, second = (trained.curves.filter(split=split).select(columns).row(0) for trained in (plain, hiding))
        assert [ours == theirs for ours, theirs in zip(first, second, strict=True)] == [is_same, is_same]


def test_the_model_learns(small: ModuleType, tmp_path: Path) -> None:
    """A token that repeats the one before it is soon known, in rows never seen."""
    _, trained = small.small_training(
        tmp_path, steps=150, evaluate_every=50, checkpoint_every=150, precision="bfloat16", playlist_share=0.5
    )
    losses = trained.curves.filter(pl.col("split") == "validation")["conversations"].to_list()
    assert losses[0] > 3.5
    assert losses[-1] < 1.5
    assert trained.tokens_per_s > 0


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]), ("cosine", [0.5, 1.0, 1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])],
)
def test_learning_rate_rises_and_falls(schedule: str, wanted: list[float]) -> None:
    """Two steps of warm-up, then one, or (1 + cos(0, pi/4, pi/2, 3 pi/4)) / 2."""
    settings = Talkplay(learning_rate=1.0, warmup_steps=2, steps=6, schedule=schedule)
    assert [learning_rate(step, settings) for step in range(6)] == pytest.approx(wanted)
