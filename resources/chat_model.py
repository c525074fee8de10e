"""A chat model of transformers on the workers: any folder with a chat template (Qwen2.5-7B-Instruct by default).

A prompt is written out by the model's own template, but texts are never read for control tokens: each is tokenized
apart from the template, and what would read as one of the vocabulary's added tokens is spelled out.
"""

import functools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resources.batching import Batches
from resources.chat_worker import ChatItem, ChatSettings
from resources.checkpoints import CheckpointError, folder_sha256
from resources.desk.calls import MAX_TOKENS, STOP, CallError, Prompt, Reply
from resources.desk.chains import answer_in_rounds
from resources.desk.prompts import call_key
from resources.desk_settings import Answers, ChatModel
from resources.language_model import Answer, Refused, Request, Tally
from resources.profile import Profile
from resources.refusals import Refusal
from resources.torch_turn import Turn, device_of
from resources.workers import Crew, Need, Task, crew

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

EDITION = 1
WORKER = "resources.chat_worker:ChatWorker"
ROLES = {"user": "user", "model": "assistant"}
SENTINEL = "\x02{}\x03"  # stands for a text while the template writes messages out
BRACKET = re.compile(r"[<\[]")
SENTINELS = re.compile("\x02(\\d+)\x03")


class ChatModelOnWorkers:
    """The language model of the profile's `chat_model` section; requests go to the workers in rounds."""

    def __init__(self, name: str, workers: Crew, settings: Answers) -> None:
        self.name, self.tally = name, Tally()
        self._workers, self._settings = workers, settings

    @property
    def works_ahead(self) -> bool:
        """No."""
        return False

    def ahead(self, requests: Sequence[Request]) -> None:
        """Does nothing: the workers have enough with what is asked now."""

    def answer(self, requests: Sequence[Request], *, part: str = "all") -> Iterator[Answer | Refused]:
        """One result for each request, in order; replies are kept with the part."""
        self.tally = Tally()
        yield from answer_in_rounds(
            requests, self._settings, self.tally, functools.partial(self._replies, part=part.replace("/", "-"))
        )

    def _replies(self, prompts: Sequence[Prompt], *, part: str) -> Iterator[Reply | CallError]:
        items = [chat_item(call_key(self.name, prompt), prompt) for prompt in prompts]
        made = self._workers.made
        outcomes = self._workers.map([Task(item.key, item) for item in items], part=part)
        self.tally.calls += self._workers.made - made
        self.tally.found += len(prompts) - (self._workers.made - made)
        for outcome in (by_need["reply"] for by_need in outcomes):
            if isinstance(outcome, Refusal):
                yield CallError("outage", f"{outcome.reason}: {outcome.detail}")
            else:
                self.tally.input_tokens += outcome.input_tokens
                self.tally.output_tokens += outcome.output_tokens
                yield outcome


@contextmanager
def open_chat_model(profile: Profile, *, kept: Path, log: Callable[[str], None]) -> Iterator[ChatModelOnWorkers]:
    """The model and its workers, which are ended in the end. Raises CheckpointError where its folder is missing."""
    name = Chat(profile, Turn()).name
    needs = [Need("reply", f"{name}, edition {EDITION}", Reply)]
    settings, batch = ChatSettings(profile.model_dump_json()), profile.chat_model.batch
    with crew(profile.workers, WORKER, settings, needs, kept=kept, batch=batch, log=log) as workers:
        yield ChatModelOnWorkers(name, workers, profile.answers)


def chat_item(key: str, prompt: Prompt) -> ChatItem:
    """What the workers get of a prompt: nothing holds the model to a schema, so the instructions name it."""
    schema = json.dumps(prompt.schema, ensure_ascii=False)
    instructions = f"{prompt.instructions}\nThe answer is one JSON object, alone, of this JSON schema:\n{schema}\n"
    return ChatItem(
        key, instructions, [(message.role, message.text) for message in prompt.messages], prompt.max_output_tokens
    )


class _Loaded(NamedTuple):
    model: Any
    tokenizer: "Tokenizer"
    template: Any  # writes messages out by the chat template
    controls: re.Pattern[str]  # the vocabulary's added tokens in brackets, special or not
    ends: list[int]
    pad: int
    context: int
    batches: Batches


class Chat:
    """The chat model of the profile.

    A reply depends on its prompt and the settings: sampling draws by the prompt's key, so neither its batch nor its
    place counts, but for last bits. A prompt that leaves no room for its reply ends as "prompt_too_long". Refusals:
    out_of_memory.
    """

    def __init__(self, profile: Profile, turn: Turn) -> None:
        self._settings, self._turn, self._device = profile.chat_model, turn, profile.workers.device
        self._folder = Path(profile.models) / self._settings.folder
        self._longest = profile.answers.max_output_tokens
        self._running = threading.Lock()

    @functools.cached_property
    def name(self) -> str:
        """The model's hash and the settings that change a reply."""
        settings = self._settings
        sampling = f"temperature {settings.temperature}, top_p {settings.top_p}, seed {settings.seed}"
        drawn = sampling if settings.temperature else "greedy"
        return f"chat {Path(settings.folder).name} {folder_sha256(self._folder)[:12]}, {drawn}, {settings.precision}"

    def replies(self, items: Sequence[ChatItem]) -> list[Reply | Refusal]:
        """One reply or refusal for each prompt, in order."""
        with self._running:
            loaded = self._loaded
            with self._turn.features():
                rows = [(item, self._ids(item, loaded)) for item in items]
            results: list[Reply | Refusal] = [Reply("", "prompt_too_long", len(ids), 0) for _, ids in rows]
            fitting = [
                place for place, (item, ids) in enumerate(rows) if len(ids) + item.max_output_tokens <= loaded.context
            ]
            made = loaded.batches.run(
                [rows[place] for place in fitting],
                [len(rows[place][1]) for place in fitting],
                functools.partial(self._generated, loaded),
            )
        for place, result in zip(fitting, made, strict=True):
            results[place] = result._replace(source=self.name, location="") if isinstance(result, Refusal) else result
        return results

    def _generated(self, loaded: _Loaded, rows: list[tuple[ChatItem, list[int]]]) -> list[Reply]:
        """Left-padded, so that every row's next token is at the batch's end."""
        import torch
        from transformers import LogitsProcessorList

        longest = max(len(ids) for _, ids in rows)
        padding = [longest - len(ids) for _, ids in rows]
        device = device_of(self._device)
        with self._turn.model():
            ids_BT = torch.tensor([[loaded.pad] * pad + ids for pad, (_, ids) in zip(padding, rows, strict=True)])
            mask_BT = torch.tensor([[0] * pad + [1] * len(ids) for pad, (_, ids) in zip(padding, rows, strict=True)])
            drawing = [_Drawing(self._settings, [item.key for item, _ in rows])] if self._settings.temperature else []
            made_BT = loaded.model.generate(
                input_ids=ids_BT.to(device),
                attention_mask=mask_BT.to(device),
                max_new_tokens=max(item.max_output_tokens for item, _ in rows),
                do_sample=False,
                num_beams=1,
                logits_processor=LogitsProcessorList(drawing),
                eos_token_id=loaded.ends,
                pad_token_id=loaded.pad,
            )[:, longest:].tolist()
        return [
            _reply(loaded, written[: item.max_output_tokens], len(ids))
            for written, (item, ids) in zip(made_BT, rows, strict=True)
        ]

    def _ids(self, item: ChatItem, loaded: _Loaded) -> list[int]:
        """The prompt as the template writes it, in which each text was held by a mark of its own."""
        texts = [item.instructions, *(text for _, text in item.messages)]
        messages = [
            {"role": ROLES[role], "content": SENTINEL.format(number)}
            for number, (role, _) in enumerate(item.messages, start=1)
        ]
        written = loaded.template([{"role": "system", "content": SENTINEL.format(0)}, *messages])
        ids: list[int] = []
        pieces = SENTINELS.split(written)
        if sorted(pieces[1::2]) != sorted(map(str, range(len(texts)))):
            raise CheckpointError(f"{self._folder}: its chat template leaves a message out, or writes one twice")
        for place, piece in enumerate(pieces):
            is_text = place % 2 == 1
            plain = loaded.tokenizer.encode("" if is_text else piece, add_special_tokens=False).ids
            ids += _text_ids(texts[int(piece)], loaded) if is_text else plain
        return ids

    @functools.cached_property
    def _loaded(self) -> _Loaded:
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = self._folder
        folder_sha256(folder)  # refuses what may not be loaded
        template = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not template.chat_template:
            raise CheckpointError(f"{folder}: its tokenizer has no chat template; expected an instruction-tuned model")
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=getattr(torch, self._settings.precision),
        )
        model = model.to(device_of(self._device)).eval()
        # Its own sampling settings, which the profile replaces, would only warn.
        model.generation_config.update(temperature=None, top_p=None, top_k=None, repetition_penalty=None)
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [template.eos_token_id if ends is None else ends]
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        write_out = _writer(functools.partial(template.apply_chat_template, tokenize=False, add_generation_prompt=True))
        pad = template.pad_token_id if template.pad_token_id is not None else ends[0]
        added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        named = sorted((token for token in added if BRACKET.search(token)), key=len, reverse=True)
        controls = re.compile(f"({'|'.join(map(re.escape, named))})" if named else "(?!)()")
        context = int(model.config.max_position_embeddings)
        if self._longest >= context:
            raise CheckpointError(
                f"{folder}: {context} tokens of context leave no room for answers of {self._longest}; set "
                "MUSIC_ANSWERS__MAX_OUTPUT_TOKENS to less, so that prompts of some thousand tokens fit too"
            )
        # On a CPU padding costs more than batches gain: masked attention is the slow one.
        batches = Batches(self._settings.batch if model.device.type == "cuda" else 1)
        return _Loaded(model, tokenizer, write_out, controls, ends, pad, context, batches)


class _Drawing:
    """Samples at a temperature within the top-p mass, each row by a generator of its own (Gumbel-max).

    The largest of log-probabilities with Gumbel noise is a draw from the distribution, so greedy search samples.
    """

    def __init__(self, settings: ChatModel, keys: Sequence[str]) -> None:
        import torch

        self._temperature, self._top_p = settings.temperature, settings.top_p
        seeds = [(int(key[:15], 16) + settings.seed) % 2**63 for key in keys]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, ids_BT: "torch.Tensor", scores_BV: "torch.Tensor") -> "torch.Tensor":
        import torch
        from transformers import TopPLogitsWarper

        scores_BV = scores_BV.float() / self._temperature
        if self._top_p < 1:
            scores_BV = TopPLogitsWarper(self._top_p)(ids_BT, scores_BV)
        rows = [torch.rand(scores_BV.shape[1], generator=generator) for generator in self._generators]
        uniform_BV = torch.stack(rows).clamp(min=1e-20).to(scores_BV.device)
        return scores_BV - torch.log(-torch.log(uniform_BV))


def _reply(loaded: _Loaded, written: list[int], prompt_tokens: int) -> Reply:
    end = next((place for place, token in enumerate(written) if token in loaded.ends), None)
    text = loaded.tokenizer.decode(written[:end], skip_special_tokens=False)
    return Reply(text, MAX_TOKENS if end is None else STOP, prompt_tokens, len(written[:end]) + (end is not None))


def _writer(apply: Callable[[list[dict[str, str]]], str]) -> Callable[[list[dict[str, str]]], str]:
    """The template; where it has no place for a system's words, they open the first message."""
    probe = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    try:
        apply(probe)
    except Exception:  # jinja's own, raised by templates for a role that they don't know
        return lambda messages: apply(
            [{**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}, *messages[2:]]
        )
    return apply


def _text_ids(text: str, loaded: _Loaded) -> list[int]:
    """The ids of a text in which no added token in brackets is one: those are the template's alone."""
    pieces = loaded.controls.split(text)
    # Every other piece is a control token's text: cut in two, neither half reads as one.
    halves = [
        half for place, piece in enumerate(pieces) for half in ((piece[:1], piece[1:]) if place % 2 else (piece,))
    ]
    loaded.tokenizer.encode_special_tokens = True
    try:
        encoded = [loaded.tokenizer.encode(half, add_special_tokens=False).ids for half in halves if half]
    finally:
        loaded.tokenizer.encode_special_tokens = False
    return [token for ids in encoded for token in ids]
