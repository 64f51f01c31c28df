"""The offline model of ``crossthread[local]``: WordLlama, whose wheel carries weights and tokenizer. Never downloads.

Source: https://github.com/dleemiller/WordLlama, model l2_supercat, 256 dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from crossthread.errors import ConfigurationError


class LocalEmbeddings(Embeddings):
    """Embeddings of an offline model, 256 dimensions, some 50 microseconds a text on one core.

    Raises:
        ConfigurationError: The extra ``crossthread[local]`` is not installed.
    """

    model = "wordllama:l2_supercat_256"

    def __init__(self) -> None:
        try:
            with _logging_left_alone():
                import wordllama
        except ImportError as error:
            raise ConfigurationError(
                "index['embed'] = 'local' needs the offline model; install it with: pip install 'crossthread[local]'"
            ) from error
        # The loader looks for the tokenizer below cache_dir only; the wheel has it below its own folder.
        folder = Path(wordllama.__file__).parent
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed_documents(self, texts: list[str]) -> Any:
        """Return a float32 array of shape (len(texts), 256)."""
        return self._model.embed(texts)

    def embed_query(self, text: str) -> Any:
        """Return a float32 array of shape (256,)."""
        return self._model.embed([text])[0]


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """Take back what a module does to the root logger when it is imported: that is the program's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
