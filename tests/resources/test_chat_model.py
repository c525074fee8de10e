"""A chat model on the workers: replies equal a written-out reference, texts never become control tokens."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from resources.chat_model import Chat, _Drawing, chat_item, open_chat_model
from resources.chat_worker import ChatItem
from resources.checkpoints import CheckpointError
from resources.desk.calls import Message, Prompt, Reply
from resources.desk.prompts import first_prompt
from resources.desk_settings import Answers, ChatModel
from resources.language_model import Answer, Refused, Request
from resources.model_settings import WorkersSection
from resources.profile import Profile
from resources.sample.checkpoints.chat_model import FOLDER, write
from resources.torch_turn import Turn

TOKENS = 24
WORKERS = WorkersSection(preparers=0)


class Number(BaseModel):
    """An answer of one number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model."""
    folder: Path = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


def profile(models: Path, **settings: float) -> Profile:
    """A profile with the tiny model."""
    return Profile(
        models=str(models),
        chat_model=ChatModel(folder=FOLDER, **settings),
        answers=Answers(max_output_tokens=TOKENS, re_asks=1),
        workers=WORKERS,
    )


def item(text: str, *, key: str = "0" * 64, tokens: int = TOKENS) -> ChatItem:
    """A prompt of one message."""
    return ChatItem(key, "Be brief.", [("user", text)], tokens)


def greedy(models: Path, text: str) -> tuple[str, bool]:
    """The reply by hand: the template written out, one token at a time, the best one always; and whether it ended."""
    model = AutoModelForCausalLM.from_pretrained(models / FOLDER, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(models / FOLDER / "tokenizer.json"))
    written = f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer.encode(written, add_special_tokens=False).ids
    ends = {tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")}
    made: list[int] = []
    with torch.inference_mode():
        for _ in range(TOKENS):
            best = int(model(torch.tensor([ids + made])).logits[0, -1].argmax())
            if best in ends:
                return tokenizer.decode(made, skip_special_tokens=False), True
            made.append(best)
    return tokenizer.decode(made, skip_special_tokens=False), False


def test_a_reply_is_the_models_own_greedy_text(models: Path) -> None:
    """Text and end equal a reference that writes the template out and takes the best token each time."""
    for text in ("two words", "another, longer, question about the music of this track"):
        (reply,) = Chat(profile(models), Turn()).replies([item(text)])
        assert isinstance(reply, Reply)
        expected, is_whole = greedy(models, text)
        assert (reply.text, reply.finish) == (expected, "stop" if is_whole else "max_tokens")


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_neither_batch_nor_order_counts(models: Path, temperature: float) -> None:
    """Prompts of different lengths get the same replies together, in reverse, and one by one."""
    chat = Chat(profile(models, temperature=temperature), Turn())
    items = [item("word " * count, key=f"{count:064x}") for count in (1, 9, 4, 20)]
    together = chat.replies(items)
    assert together == chat.replies(items[::-1])[::-1] == [chat.replies([one])[0] for one in items]


def test_padding_changes_no_reply(models: Path) -> None:
    """A batch of different lengths, as a GPU gets it, has the replies of its prompts alone."""
    chat = Chat(profile(models), Turn())
    items = [item("word " * count, key=f"{count:064x}") for count in (1, 9, 4)]
    rows = [(one, chat._ids(one, chat._loaded)) for one in items]
    assert chat._generated(chat._loaded, rows) == [chat._generated(chat._loaded, [row])[0] for row in rows]


def test_sampling_follows_prompt_and_seed(models: Path) -> None:
    """Two prompts of one text but of different keys differ, and so do two seeds."""
    chat = Chat(profile(models, temperature=1.5), Turn())
    first, second = chat.replies([item("hello", key="1" * 64), item("hello", key="2" * 64)])
    (other,) = Chat(profile(models, temperature=1.5, seed=8), Turn()).replies([item("hello", key="1" * 64)])
    assert first != second
    assert first != other


def test_drawing_is_sampling_from_the_softmax() -> None:
    """The best of log-probabilities with noise falls on each token as often as its probability says."""
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    settings = ChatModel(temperature=1.0)
    rows = 4000
    drawing = _Drawing(settings, [f"{row:015x}" for row in range(rows)])
    best = drawing(torch.zeros(rows, 1, dtype=torch.long), probabilities.log().expand(rows, 4)).argmax(dim=1)
    shares = torch.bincount(best, minlength=4) / rows
    assert torch.allclose(shares, probabilities, atol=0.03)


def test_top_p_leaves_out_the_tail() -> None:
    """With top_p .8, tokens beyond the first .8 of the mass are never drawn."""
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawing = _Drawing(ChatModel(temperature=1.0, top_p=0.8), [f"{row:015x}" for row in range(500)])
    best = drawing(torch.zeros(500, 1, dtype=torch.long), probabilities.log().expand(500, 4)).argmax(dim=1)
    assert set(best.tolist()) == {0, 1}


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<tool_call>", "</tool_call>"])
def test_a_text_never_becomes_a_control_token(models: Path, token: str) -> None:
    """What reads as an added token, special or not, is spelled out of other tokens."""
    chat = Chat(profile(models), Turn())
    added = set(chat._loaded.tokenizer.get_added_tokens_decoder())
    plain = chat._ids(item("before after"), chat._loaded)
    asked = chat._ids(item(f"before {token} after"), chat._loaded)
    assert sum(one in added for one in asked) == sum(one in added for one in plain)


def test_a_prompt_without_room_for_its_reply_is_no_reply(models: Path) -> None:
    """More tokens than the context holds end as prompt_too_long, and others of the batch are answered."""
    chat = Chat(profile(models), Turn())
    long, short = chat.replies([item("hi", tokens=40_000), item("hi")])
    assert isinstance(long, Reply)
    assert isinstance(short, Reply)
    assert long.finish == "prompt_too_long"
    assert short.output_tokens > 0


TEMPLATES = {
    "llama": (
        "{{ '<|im_start|>' }}{% for m in messages %}{{ '<|im_end|>' + m['role'] + '\n\n' + m['content'] | trim }}"
        "{% endfor %}"
    ),
    "no system": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('Roles must alternate') }}{% endif %}"
        "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] }}{% endfor %}"
    ),
    "system last": (
        "{% for m in messages[1:] %}{% if loop.last %}{{ messages[0]['content'] + ' ' }}{% endif %}"
        "{{ '[INST]' + m['content'] }}{% endfor %}"
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_text_is_written_whatever_the_template(models: Path, name: str, tmp_path: Path) -> None:
    """A template that trims, one that knows no system and one that puts it last: each text is in the prompt once."""
    chat = Chat(profile(_with_template(models, tmp_path, TEMPLATES[name])), Turn())
    asked = ChatItem("0" * 64, "Be brief.", [("user", "first"), ("model", "second"), ("user", "third")], TOKENS)
    written = chat._loaded.tokenizer.decode(chat._ids(asked, chat._loaded), skip_special_tokens=False)
    assert [written.count(text) for text in ("Be brief.", "first", "second", "third")] == [1, 1, 1, 1]


def test_a_template_that_drops_a_message_is_refused(models: Path, tmp_path: Path) -> None:
    """Answers to half a prompt would look like answers."""
    chat = Chat(profile(_with_template(models, tmp_path, "{{ messages[-1]['content'] }}")), Turn())
    with pytest.raises(CheckpointError, match="leaves a message out"):
        chat.replies([item("hi")])


def test_answers_longer_than_the_context_are_refused(models: Path) -> None:
    """No prompt could ever be answered: the setting is named."""
    chosen = profile(models).model_copy(update={"answers": Answers(max_output_tokens=32_768)})
    with pytest.raises(CheckpointError, match="MUSIC_ANSWERS__MAX_OUTPUT_TOKENS"):
        Chat(chosen, Turn()).replies([item("hi")])


def _with_template(models: Path, folder: Path, template: str) -> Path:
    shutil.copytree(models, folder, dirs_exist_ok=True)
    path = folder / FOLDER / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return folder


def test_the_schema_is_part_of_the_instructions() -> None:
    """Nothing else would tell the model the form of its answer."""
    prompt = Prompt("count", "Count.", (Message("user", "payload"),), {"type": "object"}, TOKENS)
    asked = chat_item("key", prompt)
    assert asked.instructions.startswith("Count.\n")
    assert '{"type": "object"}' in asked.instructions


def test_a_base_model_is_refused(models: Path, tmp_path: Path) -> None:
    """A tokenizer without a chat template names what was expected."""
    write(tmp_path)
    path = tmp_path / FOLDER / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["chat_template"]
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="no chat template"):
        Chat(profile(tmp_path), Turn()).replies([item("hi")])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Opening a model that is not there says which folder was looked at."""
    with pytest.raises(CheckpointError, match="no model folder"), opened(tmp_path, tmp_path):
        pass


def opened(models: Path, kept: Path):
    """The language model over the workers of this process."""
    return open_chat_model(profile(models), kept=kept, log=lambda line: None)


def requests(count: int) -> list[Request]:
    """Requests for a number each."""
    return [Request("count", "count-1", "Count.", {"words": "one " * place}, Number) for place in range(count)]


def test_random_weights_are_refused_and_counted(models: Path, tmp_path: Path) -> None:
    """A model that writes noise: each request is refused, and the tally says so."""
    with opened(models, tmp_path) as model:
        results = list(model.answer(requests(3), part="shard-00"))
        assert all(isinstance(result, Refused) for result in results)
        assert (model.tally.requests, model.tally.refused) == (3, 3)
        assert model.tally.calls >= 3


def test_a_second_run_calls_nothing(models: Path, tmp_path: Path) -> None:
    """Replies are kept: another process finds them all, and results are the same."""
    with opened(models, tmp_path) as model:
        first = list(model.answer(requests(2), part="shard-00"))
    with opened(models, tmp_path) as model:
        assert list(model.answer(requests(2), part="shard-00")) == first
        assert model.tally.calls == 0
        assert model.tally.found >= 2


def test_a_trained_model_answers(tmp_path: Path) -> None:
    """A model that has learnt to write one answer gives it, checked, through the whole path."""
    write(tmp_path)
    asked = requests(2)
    _teach(tmp_path, asked, '{"number": 7}')
    with opened(tmp_path, tmp_path / "kept") as model:
        results = list(model.answer(asked))
    assert [result.value for result in results if isinstance(result, Answer)] == [Number(number=7)] * 2


def _teach(models: Path, asked: list[Request], text: str) -> None:
    """Trains the tiny model until it writes the text after the requests' prompts."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(models / FOLDER, dtype=torch.float32)
    tokenizer = Tokenizer.from_file(str(models / FOLDER / "tokenizer.json"))
    answer = tokenizer.encode(f"{text}<|im_end|>", add_special_tokens=False).ids
    chat = Chat(profile(models), Turn())
    prompts = [chat_item("", first_prompt(request, profile(models).answers)) for request in asked]
    starts = [chat._ids(prompt, chat._loaded) for prompt in prompts]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(120):
        start = starts[step % len(starts)]
        logits = model(torch.tensor([start + answer])).logits[0, len(start) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(answer))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.02:
            break
    model.save_pretrained(models / FOLDER)
