"""Texts to rows of token numbers, by the library ``tokenizers``, which is imported where it is used.

A token is its number in the vocabulary plus 1, and 0 is what stands behind the end of a text; so models need no special
token, and no text can hold one.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from modelservice.modalities.base import Features
from modelservice.modalities.errors import InputError

MAX_CHARACTERS: Final = 2**17
"""Of a text, in training and in a request: a text of a few megabytes would hold a server up for seconds."""
_SLICE = 1024
"""Texts that are held as tokens at once."""


def check_text(text: str, *, row: int, column: str) -> None:
    """Refuse a text of a request that a tokenizer does not take, or not soon.

    Raises:
        InputError: it is too long, or holds half a character.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"has {len(text)} characters, at most {MAX_CHARACTERS} are read: cut it"
        raise InputError(message, row=row, column=column)
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("holds half a character (a lone surrogate): send UTF-8", row=row, column=column)


def train_tokenizer(texts: Iterable[str], *, vocabulary: int) -> str:
    """Learn a byte-level BPE (Sennrich et al., 2016) in lower case, which has a token for each byte of any text.

    Args:
        texts: those of the training rows.
        vocabulary: tokens at most; those that would stand for what occurs once are left out.

    Returns:
        Its JSON; the same for the same texts.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers  # noqa: PLC0415 - as above

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str())


class Tokens:
    """A tokenizer that gives rows of one length; immutable and safe to share between threads."""

    def __init__(self, tokenizer: str, *, max_length: int) -> None:
        """Read its JSON.

        Args:
            tokenizer: the JSON.
            max_length: tokens of a row; a text's further ones are cut off, special ones at its end are kept.

        Raises:
            ValueError: it is no tokenizer.
        """
        from tokenizers import Tokenizer  # noqa: PLC0415 - as above

        try:
            self._tokenizer: Any = Tokenizer.from_str(tokenizer)
        except Exception as error:  # the library raises Exception itself
            raise ValueError(f"no tokenizer of the library tokenizers: {str(error)[:200]}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length

    @property
    def vocabulary(self) -> int:
        """How many numbers tokens take, from 0 to the highest; there may be numbers between that no token has."""
        return int(max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)) + 1

    def encode(self, texts: Sequence[str]) -> Features:
        """Float32 [texts, max_length], whole numbers: a token plus 1, and 0 behind the last one."""
        rows = np.zeros((len(texts), self._max_length), dtype=np.float32)
        for start in range(0, len(texts), _SLICE):
            for place, encoding in enumerate(self._tokenizer.encode_batch(texts[start : start + _SLICE]), start):
                ids = encoding.ids
                rows[place, : len(ids)] = np.add(ids, 1, dtype=np.float32)
        return rows
