"""TOML files as read: content and text, so that what is wrong is said with the file and the line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, PrivateAttr, ValidationError

from postcgrp.priors.errors import InputError
from postcgrp.priors.messages import InputFault, faults_in_words
from postcgrp.priors.toml_lines import Location, line_of, toml_lines

LEDGER_SCHEMA = 1  # of ledgers and prior sets


@dataclass(frozen=True)
class TomlFile:
    """A TOML file: how messages call it, its text and the tables in it."""

    name: str
    text: str
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Returns a file as read. Raises :class:`InputError`."""
        try:
            text = path.read_text(encoding="utf-8-sig")
            return cls(path.name, text, tomllib.loads(text))
        except OSError as error:
            reason = f"cannot be read ({error.strerror}): give the path of a readable TOML file"
        except UnicodeDecodeError as error:
            reason = f"cannot be read as UTF-8 ({error.reason}): give a TOML text file"
        except (ValueError, RecursionError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            reason = f"is not valid TOML ({said}): correct that line"
        raise InputError(f"{path}: {reason}")

    @classmethod
    def read_versioned(cls, path: Path) -> Self:
        """Returns a file of this schema, its tables without the `schema`. Raises :class:`InputError`."""
        file = cls.read(path)
        schema = file.content.pop("schema", None)
        if type(schema) is not int or schema != LEDGER_SCHEMA:
            raise InputError(
                f"{file.name}: schema = {schema!r}, but this version reads {LEDGER_SCHEMA} only: "
                f"write `schema = {LEDGER_SCHEMA}` as its first line"
            )
        return file

    def validated[Model: BaseModel](self, model: type[Model], tables: Mapping[str, str], guide: str) -> Model:
        """Returns the content of this file as a model.

        Parameters: `tables`, the model's field by the name that the table has in the file; `guide`, the page that
        explains the file. Raises :class:`InputError`, with each fault's line, also for a table of another name.
        """
        if unknown := [name for name in self.content if name not in tables]:
            known = f"use one of {', '.join(tables)}"
            raise self.error([InputFault((name,), f"table {name!r} is not known: {known}") for name in unknown])
        content = {tables[name]: table for name, table in self.content.items()}
        names = {field: name for name, field in tables.items()}
        try:
            return model.model_validate(content)
        except ValidationError as error:
            found = faults_in_words(error, model, content, guide=guide, tables=names)
            at_names = [InputFault((*(names[str(key)] for key in at[:1]), *at[1:]), text) for at, text in found]
            raise self.error(at_names) from None

    def error(self, faults: Sequence[InputFault]) -> InputError:
        """Returns the error that says faults of this file, each once, in the order of their lines."""
        lines = toml_lines(self.text)
        order = sorted(faults, key=lambda fault: line_of(lines, fault.at) or 0)
        return InputError(*dict.fromkeys(f"{self.place(fault.at, lines)}{fault.text}" for fault in order))

    def place(self, at: Location, lines: Mapping[Location, int] | None = None) -> str:
        """Returns how a message on a table or key of this file begins: the file and, where it has one, the line."""
        line = line_of(toml_lines(self.text) if lines is None else lines, at)
        return f"{self.name}: " + (f"line {line}: " if line else "")


class FromFile(BaseModel):
    """A named model that may be read from a TOML file, which its errors then name with the line.

    The file is the validation's context. `KIND`: what messages call one that comes from no file.
    """

    KIND: ClassVar[str]
    name: str
    _file: TomlFile | None = PrivateAttr(None)

    def model_post_init(self, context: Any) -> None:
        """Keep the file that the model is read from, if there is one."""
        self._file = context

    def error(self, faults: Sequence[InputFault]) -> InputError:
        """Returns the error that says what is wrong, with file and line if the model comes from a file."""
        if self._file is not None:
            return self._file.error(faults)
        return InputError(*dict.fromkeys(f"{self.KIND} {self.name!r}: {fault.text}" for fault in faults))
