"""How models share the processor."""

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from resources.torch_turn import Turn, cpu_threads, device_of


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Leaves torch's number of threads as it was."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def _rounding() -> Iterator[None]:
    """TF32 allowed; afterwards what torch was told before."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = True
    yield
    products.allow_tf32, convolutions.allow_tf32 = before


@pytest.mark.parametrize("threads", [1, 2])
def test_every_thread_computes_with_the_number_of_threads(threads: int) -> None:
    """Torch keeps the number for each thread apart; here three threads are told another one first."""
    turn = Turn(threads=threads)

    def numbers() -> tuple[int, int]:
        torch.set_num_threads(3)
        with turn.features():
            features = torch.get_num_threads()
        torch.set_num_threads(3)
        with turn.model():
            return features, torch.get_num_threads()

    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(numbers) for _ in range(3)]
        assert [one.result() for one in made] == [(threads, threads)] * 3


def test_no_gradients_are_kept() -> None:
    """In both turns; after them they are again."""
    turn = Turn()
    with turn.features():
        assert torch.is_inference_mode_enabled()
    with turn.model():
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()


def test_one_model_computes_at_a_time() -> None:
    """While one thread has the model's turn, another that asked for it is not let in."""
    turn = Turn()
    is_first_in, is_second_asking, is_second_in = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with turn.model():
            is_first_in.set()
            assert is_second_asking.wait(30)
            assert not is_second_in.wait(0.1)

    def second() -> None:
        assert is_first_in.wait(30)
        is_second_asking.set()
        with turn.model():
            is_second_in.set()

    run(first, second)
    assert is_second_in.is_set()


def test_features_go_on_while_a_model_computes() -> None:
    """The model's thread waits within its turn for another thread's features, which end."""
    turn = Turn()
    is_model_in, are_features_done = threading.Event(), threading.Event()

    def model() -> None:
        with turn.model():
            is_model_in.set()
            assert are_features_done.wait(30)

    def features() -> None:
        assert is_model_in.wait(30)
        with turn.features():
            are_features_done.set()

    run(model, features)


def test_a_turn_ends_with_an_error() -> None:
    """A model that raises lets the next one in."""
    turn = Turn()
    with pytest.raises(KeyError), turn.model():
        raise KeyError("weights")
    with turn.model():
        assert torch.is_inference_mode_enabled()


def test_devices_by_name() -> None:
    """`cpu` is the CPU; `auto` is CUDA where there is one; `cuda` without one is an error that says what to say."""
    assert device_of("cpu") == torch.device("cpu")
    if torch.cuda.is_available():
        assert device_of("auto") == device_of("cuda") == torch.device("cuda")
    else:
        assert device_of("auto") == torch.device("cpu")
        with pytest.raises(ValueError, match="say auto or cpu"):
            device_of("cuda")


@pytest.mark.usefixtures("_rounding")
def test_float32_is_float32_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CUDA is chosen nothing rounds to TF32, and torch warns of nothing; choosing the CPU changes nothing."""
    device_of("cpu")
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        device_of("auto")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.conv.fp32_precision != "tf32"
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"


def run(*works: Callable[[], None]) -> None:
    """Each in a thread of its own; raises what one of them raises."""
    with ThreadPoolExecutor(len(works)) as pool:
        for one in [pool.submit(work) for work in works]:
            one.result()


def test_training_has_its_own_number_of_threads() -> None:
    """Whatever a model set before, training has so many threads, and afterwards they are as before."""
    torch.set_num_threads(2)
    with cpu_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
