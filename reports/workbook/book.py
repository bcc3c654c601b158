"""`postcgrp workbook`: a run, with or without a deal, as an Excel workbook whose value follows the user's inputs."""

from __future__ import annotations

import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from postcgrp.priors import InputError
from postcgrp.reports.export.thinning import statement
from postcgrp.reports.runs.place import beside, check_parent, new_file
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.workbook.cells import Book
from postcgrp.reports.workbook.content import Content, gather
from postcgrp.reports.workbook.draw_sheets import by_draw_sheet, draws_sheet, picker_sheet
from postcgrp.reports.workbook.input_sheets import cash_flow_sheet, inputs_sheet
from postcgrp.reports.workbook.text_sheets import (
    SCHEMA,
    answer_in_words,
    assumptions_sheet,
    paths_sheet,
    provenance_sheet,
    summary_sheet,
)
from postcgrp.reports.workbook.value_sheet import value_sheet

SHEETS = (
    summary_sheet,
    inputs_sheet,
    value_sheet,
    picker_sheet,
    cash_flow_sheet,
    paths_sheet,
    by_draw_sheet,
    draws_sheet,
    assumptions_sheet,
    provenance_sheet,
)
BOOK_OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
LONGEST_FOOTER = 180  # characters of the title; Excel takes 255 for the whole footer
CORE, CUSTOM = "docProps/core.xml", "docProps/custom.xml"


def workbook(
    run: Run,
    out: Path,
    *,
    deal: Deal | None = None,
    seed: int = 1,
    thin: int | None = None,
) -> Content:
    """Write a workbook, whole or not at all; returns what it shows.

    Parameters: `deal`, whose inputs fill the live model at their means, except for those it has no cell for; `seed` of
    the deal's draws; `thin`, how many joint draws to keep (by default all, or as many as a workbook holds well). Raises
    :class:`InputError` for a deal that does not fit, for more than a sheet holds, and for a target that cannot or must
    not be written.
    """
    check_workbook_target(out)
    content = gather(run, deal, seed, thin)
    with new_file(out) as path:
        _write(content, path)
    return content


def workbook_lines(content: Content, out: Path) -> list[str]:
    """What to print about a workbook: its answer, its value, what it leaves out."""
    value = f"rNPV {content.check['rnpv']:,.1f} {content.money}, P(NPV < 0) {content.check['loss']:.0%}"
    failed = [] if content.passed else ["the run missed its convergence gate: these numbers are not to be relied on"]
    name = content.deal.name if content.full is not None else "everything captured, 10 % a year"
    return [
        *failed,
        answer_in_words(content),
        f"{name}: {value}, on the inputs as written",
        *(f"left out of the live model: {part}" for part in content.left_out),
        statement(content.kept.header["thinning"], content.money),
        f"{out}: the workbook",
    ]


def default_workbook(run: Path) -> Path:
    """The default target: beside the run folder."""
    return beside(run, "-workbook.xlsx")


def check_workbook_target(out: Path) -> None:
    """Refuse a target that cannot be written, or that holds anything but an unchanged workbook of ours.

    One that was saved since may hold somebody's inputs. Raises :class:`InputError`.
    """
    if out.suffix != ".xlsx":
        raise InputError(f"--out {out}: is for a workbook: end it in .xlsx")
    if out.exists():
        _check_replaceable(out)
    check_parent(out)


def _check_replaceable(out: Path) -> None:
    try:
        with zipfile.ZipFile(out) as parts:
            ours = SCHEMA.split("/")[0].encode() in parts.read(CUSTOM)
            times = re.findall(rb"<dcterms:(?:created|modified)[^>]*>([^<]*)<", parts.read(CORE))
    except (OSError, KeyError, zipfile.BadZipFile):
        ours, times = False, []
    if not ours:
        raise InputError(f"--out {out}: is no workbook of postcgrp: name a new file")
    if len({*times}) != 1:
        raise InputError(f"--out {out}: was saved after it was written and may hold your inputs: name a new file")


def _write(content: Content, path: Path) -> None:
    created = datetime.fromisoformat(content.record.get("created", "2000-01-01T00:00:00+00:00")).astimezone(UTC)
    title = content.pset.ledger.report.title
    try:
        with (
            TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as work,
            Workbook(path, {**BOOK_OPTIONS, "tmpdir": work}) as file,
        ):
            # The run's own time, so that the same run gives the same file.
            file.set_properties({"title": title, "created": created.replace(tzinfo=None)})
            file.set_custom_property("schema", SCHEMA)
            file.set_custom_property("manifest_sha256", content.kept.header["manifest_sha256"])
            file.set_calc_mode("auto")
            status = "" if content.passed else "GATE FAILED. "
            book = Book(file, status + title[:LONGEST_FOOTER].replace("&", "&&"))
            for sheet in SHEETS:
                sheet(book, content)
    except FileCreateError as error:
        raise error.args[0] from None
