"""Completion of DIDs in a shell: what the lake lists, within two seconds, and nothing at all where that fails.

Bash cuts words at colons and completes the last piece alone, so the pieces of a DID are put together before they are looked at.
"""

from __future__ import annotations

import io
import os
from collections.abc import MutableMapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from threading import Thread

import typer

__all__ = ["complete_did", "join_words"]

_SECONDS = 2.0
_MOST = 1000
_BEFORE = "_LAKECV_BEFORE"
"""Variable for what stands before the piece of a word that bash completes."""


def complete_did(ctx: typer.Context, incomplete: str) -> list[str]:
    """List the DIDs that begin with a text; with its colon, only those of its scope are looked for."""
    found: list[str] = []
    before = os.environ.get(_BEFORE, "")
    named = ctx.find_root().params.get("lake")
    asking = Thread(target=_look, args=(named, before + incomplete, found), daemon=True)  # a store that does not answer is left behind
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        asking.start()
        asking.join(_SECONDS)
    return [did[len(before) :] for did in list(found)]


def join_words(environ: MutableMapping[str, str]) -> None:
    r"""Put words together that bash has cut at colons, where bash asks; of the word under the cursor it wants the last piece only.

    Examples
    --------
    >>> asked = {"_LAKECV_COMPLETE": "complete_bash", "COMP_WORDS": "lakecv\nregister\nf.npy\nmuseo\n:\nta", "COMP_CWORD": "5"}
    >>> join_words(asked)
    >>> asked["COMP_WORDS"].split(), asked["COMP_CWORD"]
    (['lakecv', 'register', 'f.npy', 'ta'], '3')
    >>> asked["_LAKECV_BEFORE"]
    'museo:'
    """
    place = environ.get("COMP_CWORD", "")
    if environ.get("_LAKECV_COMPLETE") != "complete_bash" or not place.isdigit():
        return
    pieces = environ.get("COMP_WORDS", "").split("\n")[: int(place) + 1]
    if len(pieces) <= int(place):
        return  # the cursor stands after a space: a new word begins
    words: list[str] = []
    for piece in pieces:
        if words and (piece == ":" or words[-1].endswith(":")):
            words[-1] += piece
        else:
            words.append(piece)
    if words[-1] != pieces[-1]:
        before, colon, words[-1] = words[-1].rpartition(":")
        environ[_BEFORE] = before + colon
    environ["COMP_WORDS"], environ["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)


def _look(lake: str | None, incomplete: str, found: list[str]) -> None:
    with suppress(Exception):  # whatever it is, a shell that completes a word is no place to tell it
        from lakecv import config, registry

        settings = config.load(lake=lake)
        catalog = registry.catalog(registry.open_objects(settings.lake), settings.catalog)
        scope, colon, _ = incomplete.partition(":")
        for did in catalog.search(scope if colon else None):
            if str(did).startswith(incomplete):
                found.append(str(did))
            if len(found) >= _MOST:
                return
