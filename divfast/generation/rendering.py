"""From a prompt to what a model goes on from: the few-shot prefix, the chat template, a closed think block."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from divfast.errors import DataError, ModelError
from divfast.generation.prompts import Message, Prompt

# Whichever of these a folder holds, transformers can make a tokenizer of it.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
    "spiece.model",
)
_OPENED = re.compile(r"<think>\s*$")
_CLOSED = re.compile(r"<think>\s*</think>\s*$")
# Models were trained on thinking that was left out in this form: https://huggingface.co/Qwen/Qwen3-8B, chat template.
_NOTHING = "\n\n</think>\n\n"


@dataclass(frozen=True)
class Format:
    """How prompts are put to a model.

    Attributes
    ----------
    chat : bool or None
        Through the chat template, or as they are; None for the template where there is one.
    system : str or None
        Message before all others.
    prefix : str or None
        Text before every prompt, such as worked examples.
    think : bool
        Whether a model that thinks may; else its block for thinking is given to it empty.
    template : str or None
        A chat template (Jinja) instead of the model's own.
    """

    chat: bool | None = None
    system: str | None = None
    prefix: str | None = None
    think: bool = True
    template: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the dump says of it."""
        facts: dict[str, Any] = {"format": {None: "auto", True: "chat", False: "raw"}[self.chat]}
        if self.template is not None:
            facts["template"] = fingerprint(self.template)
        if self.system is not None:
            facts["system"] = self.system
        if self.prefix is not None:
            facts["prefix"] = fingerprint(self.prefix)
        return facts if self.think else facts | {"think": False}

    def messages(self, prompt: Prompt) -> list[Message]:
        """Return the conversation that a chat model is given."""
        turns = list(prompt.messages or [{"role": "user", "content": prompt.text}])
        if self.prefix:
            turns[-1] = {**turns[-1], "content": self.prefix + turns[-1]["content"]}
        if self.system is None:
            return turns
        if turns[0]["role"] in ("system", "developer"):
            raise DataError(
                f"the prompt {prompt.id!r} has a system message of its own.",
                remedy="Leave out --system, or take that message out of the conversation.",
            )
        return [{"role": "system", "content": self.system}, *turns]

    def text(self, prompt: Prompt) -> str:
        """Return the text that a raw model goes on from; raise `DataError` where the prompt is a conversation."""
        if prompt.messages is not None and len(prompt.messages) > 1:
            raise DataError(
                f"the prompt {prompt.id!r} is a conversation of {len(prompt.messages)} messages, of which a raw prompt "
                "would hold the last alone.",
                remedy="Say --chat, or write it as one text.",
            )
        return (self.prefix or "") + prompt.text


class Rendering:
    """Prompts as text and tokens for one model.

    Parameters
    ----------
    model : str
        Name or folder.
    format : Format
        How they are put to it.
    revision : str, optional
        Of the model.
    trust_remote_code : bool
        Whether code that comes with the tokenizer may run.

    Raises
    ------
    ModelError
        Where there is no tokenizer, or its chat template cannot do what the format asks for.
    """

    def __init__(
        self, model: str, format: Format, *, revision: str | None = None, trust_remote_code: bool = False
    ) -> None:
        self._model = model
        self._tokenizer = load_tokenizer(model, revision, trust_remote_code)
        if format.template is not None:
            self._tokenizer.chat_template = format.template
        self.template = self._template()
        if format.chat and self.template is None:
            raise ModelError("its tokenizer has no chat template.", where=model, remedy="Say --raw.")
        self.chat = self.template is not None if format.chat is None else format.chat
        self._format = format
        if format.system is not None and not self.chat:
            raise ModelError(
                "a raw prompt has no system message.",
                where=model,
                remedy="Put it into --prefix, or say --chat.",
            )
        if not format.think:
            self._check_think()

    @property
    def facts(self) -> dict[str, Any]:
        """What the dump says of it."""
        facts = self._format.facts | {"format": "chat" if self.chat else "raw"}
        return facts | {"template": fingerprint(self.template)} if self.chat and self.template else facts

    def text(self, prompt: Prompt) -> str:
        """Return what the model goes on from."""
        if not self.chat:
            return self._format.text(prompt)
        rendered = self._rendered(self._format.messages(prompt))
        return rendered if self._format.think else self._without_thinking(rendered)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return texts as tokens; a chat template has written the special ones already."""
        # Not a limit of the model, only a warning of the tokenizer.
        found = self._tokenizer(list(texts), add_special_tokens=not self.chat, verbose=False)
        return list(found["input_ids"])

    def opens_thinking(self, text: str) -> bool:
        """Return whether a model that goes on from a text is in the midst of thinking."""
        return _OPENED.search(text) is not None

    def _template(self) -> str | None:
        template = getattr(self._tokenizer, "chat_template", None)
        if isinstance(template, Mapping):
            template = template.get("default")
        return template if isinstance(template, str) and template else None

    def _rendered(self, messages: Sequence[Message], **switches: Any) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True, **self._switches(), **switches
            )
        except Exception as error:  # noqa: BLE001 - a template may raise what it likes
            raise ModelError(
                f"its chat template refuses a prompt: {' '.join(str(error).split())}.",
                where=self._model,
                remedy="Leave out --system if that is it, or say --raw.",
            ) from None
        return str(text)

    def _switches(self) -> dict[str, Any]:
        has_switch = not self._format.think and "enable_thinking" in (self.template or "")
        return {"enable_thinking": False} if has_switch else {}

    def _without_thinking(self, rendered: str) -> str:
        """Close the think block that a template has opened, or add an empty one where it has not."""
        if _OPENED.search(rendered):
            return rendered.rstrip() + _NOTHING
        if _CLOSED.search(rendered) or self._switches():
            return rendered
        return f"{rendered}<think>{_NOTHING}"

    def _check_think(self) -> None:
        if not self.chat:
            raise ModelError(
                "a raw prompt has no block for thinking that could be left empty.",
                where=self._model,
                remedy="Leave out --no-think, or say --chat.",
            )
        if not re.search(r"<think>|</think>|enable_thinking", self.template or ""):
            raise ModelError(
                "its chat template has no block for thinking that could be left empty.",
                where=self._model,
                remedy="Leave out --no-think: the model does not think in <think> and </think>.",
            )


def load_tokenizer(model: str, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Return the tokenizer of a model.

    Raises
    ------
    ModelError
        Where it has none, or it cannot be loaded.
    """
    from transformers import AutoTokenizer

    folder = Path(model)
    if not folder.is_dir() and (folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1):
        raise ModelError(
            "its tokenizer cannot be loaded: there is no such folder, and no model on the hub is called so.",
            where=model,
            remedy="Check the path.",
        )
    if folder.is_dir():
        # Asked for here, because transformers makes an empty one of a configuration alone.
        if not (folder / "config.json").exists():
            raise ModelError("is a folder without a model (config.json).", where=model)
        if not any((folder / name).exists() for name in _TOKENIZER_FILES):
            raise ModelError(
                "holds no tokenizer.",
                where=model,
                remedy="Save one there: AutoTokenizer.from_pretrained(BASE_MODEL).save_pretrained(FOLDER).",
            )
    try:
        return AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=trust_remote_code)
    except Exception as error:  # noqa: BLE001 - whatever a hub, a file or a library raises
        raise not_loaded(model, "its tokenizer", error) from None


def not_loaded(model: str, what: str, error: Exception) -> ModelError:
    """Return the error for a model, or part of one, that a library could not load."""
    first = next((line.strip() for line in str(error).split("\n") if line.strip()), type(error).__name__)
    return ModelError(
        f"{what} cannot be loaded: {first.rstrip('.')}.",
        where=model,
        remedy="Check the name or the folder, --revision, and the network.",
    )


def fingerprint(text: str) -> str:
    """Return eight hexadecimal digits that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
