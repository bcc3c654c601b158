"""Figures as files: a spec becomes SVG, PNG or JSON, each with the hash of the recipe of its numbers."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from postcgrp.priors import InputError
from postcgrp.reports.forecast.style import FONT, Spec

IMAGE_FORMATS = ("svg", "png", "json")
USUAL_FORMATS = ("svg", "png")
SCALE = 1.5  # pixels of a PNG for each of the figure
HEADER_END = 33  # of a PNG, in bytes: its signature and first chunk, after which a text may stand
EVERY_FONT_HAS = 0x250  # Latin letters: characters below this number
NO_CHARACTER = "\U0010fffd"  # for private use: what no font has
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(spec: Spec, target: Path, recipe: str, formats: Sequence[str] = USUAL_FORMATS) -> list[Path]:
    """Write one figure beside `target`, a file for each format; returns their paths.

    Parameters: `target`, without suffix; `recipe`, the hash that each file carries; `formats`, of `IMAGE_FORMATS`,
    where json is the spec itself.
    """
    # Loaded here: 34 MB, which only those pay for who draw.
    import vl_convert

    note = f"postcgrp recipe sha256 {recipe}"
    drawn = "" if set(formats) == {"json"} else vl_convert.vegalite_to_svg(_in_xml(spec), show_warnings=False)
    written = []
    for kind in formats:
        if kind == "json":
            content = json.dumps({**spec, "description": note}, ensure_ascii=False, allow_nan=False).encode()
        elif kind == "svg":
            content = _described(drawn, note).encode()
        else:
            content = _with_text(vl_convert.svg_to_png(drawn, scale=SCALE), note)
        written.append(target.with_name(f"{target.name}.{kind}"))
        written[-1].write_bytes(content)
    return written


def save_figure(
    table: pd.DataFrame, spec: Spec, target: Path, recipe: str, formats: Sequence[str] = USUAL_FORMATS
) -> list[Path]:
    """Write a figure as :func:`draw` does, and beside it the table that it shows as CSV; returns the paths."""
    path = target.with_name(f"{target.name}.csv")
    table.to_csv(path, index=False)
    return [path, *draw(spec, target, recipe, formats)]


def use_fonts(folder: Path) -> None:
    """Let figures use the fonts in a folder too. Raises :class:`InputError` where it holds none."""
    import vl_convert

    if not any(path.suffix.lower() in (".ttf", ".otf", ".ttc") for path in folder.glob("**/*")):
        raise InputError(f"--fonts {folder}: holds no font (.ttf, .otf or .ttc): name a folder that does")
    vl_convert.register_font_directory(str(folder))


def undrawable(specs: Iterable[Spec]) -> str:
    """The characters in the texts of figures that no font here has, so that a PNG shows nothing or a box for them."""
    rare = sorted({char for spec in specs for text in _texts(spec) for char in text if ord(char) >= EVERY_FONT_HAS})
    drawable = "\N{EN DASH}\N{MINUS SIGN}\N{HORIZONTAL ELLIPSIS}"
    unknown = _picture(NO_CHARACTER) if rare else b""
    return "".join(char for char in rare if char not in drawable and _picture(char) in (unknown, _picture(" ")))


def _picture(char: str) -> bytes:
    import vl_convert

    text = f'<text x="2" y="20" font-size="20" font-family="{FONT}">{escape(char)}</text>'
    png: bytes = vl_convert.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">{text}</svg>')
    return png


def _in_xml(part: Any) -> Any:
    """A part of a spec, its texts without characters that no SVG may hold."""
    if isinstance(part, str):
        return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", part)
    if isinstance(part, Mapping):
        return {name: _in_xml(value) for name, value in part.items()}
    return [_in_xml(value) for value in part] if isinstance(part, list | tuple) else part


def _texts(part: Any) -> Iterable[str]:
    """Every text in a spec."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _texts(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _texts(value)


def _described(svg: str, note: str) -> str:
    """An SVG with a note as its description."""
    end = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:end]}<desc>{escape(note)}</desc>{svg[end:]}"


def _with_text(png: bytes, note: str) -> bytes:
    """A PNG with a note as its text `Description`, by a chunk as the standard has them."""
    body = b"tEXtDescription\x00" + note.encode("latin-1", "replace")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:HEADER_END] + chunk + png[HEADER_END:]
