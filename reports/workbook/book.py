"""`postcgrp workbook`: a run, and perhaps a deal, as an Excel workbook whose value follows the user's inputs."""

from __future__ import annotations

import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from xlsxwriter import Workbook
from xlsxwriter.exceptions import FileCreateError

from postcgrp.priors import InputError
from postcgrp.reports.export.exporting import beside
from postcgrp.reports.export.thinning import statement
from postcgrp.reports.runs.place import check_parent, new_file
from postcgrp.reports.runs.run import Run
from postcgrp.reports.valuation.deal import Deal
from postcgrp.reports.workbook.cells import Book
from postcgrp.reports.workbook.content import Content, gather
from postcgrp.reports.workbook.draw_sheets import by_draw, draws, picker
from postcgrp.reports.workbook.input_sheets import cash_flow, inputs
from postcgrp.reports.workbook.text_sheets import SCHEMA, assumptions_sheet, message, paths, provenance, summary_sheet
from postcgrp.reports.workbook.value_sheet import value_sheet

SHEETS = (summary_sheet, inputs, value_sheet, picker, cash_flow, paths, by_draw, draws, assumptions_sheet, provenance)
_OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
LONGEST_FOOTER = 180  # characters of the title in it; Excel takes 255 with what stands around it
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

    Parameters: `deal`, whose inputs fill the
    live model as far as it holds them, at their means; `seed` of the deal's draws; `thin`, how many joint draws to
    keep (by default all, or as many as a workbook holds well). Raises :class:`InputError` for a deal that does not fit,
    for more than a sheet holds, and for a target that cannot be or must not be written.
    """
    check_workbook_target(out)
    content = gather(run, deal, seed, thin)
    with new_file(out) as path:
        _write(content, path)
    return content


def workbook_lines(content: Content, out: Path) -> list[str]:
    """What to say of a workbook: its answer, its value, what it leaves out."""
    found = content.check
    failed = [] if content.passed else ["the run missed its convergence gate: these numbers are not to be relied on"]
    name = content.deal.name if content.full is not None else "everything captured, 10 % a year"
    return [
        *failed,
        message(content),
        f"{name}: rNPV {found['rnpv']:,.1f} {content.money}, P(NPV < 0) {found['loss']:.0%}, on the inputs as written",
        *(f"left out of the live model: {what}" for what in content.left_out),
        statement(content.kept.header["thinning"], content.money),
        f"{out}: the workbook",
    ]


def default_workbook(run: Path) -> Path:
    """Where a workbook goes if nobody says: beside the run folder."""
    return beside(run, "-workbook.xlsx")


def check_workbook_target(out: Path) -> None:
    """Refuse a target that cannot be written, or that holds anything but a workbook as it was written here.

    One that was saved since holds somebody's inputs. Raises :class:`InputError`.
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
            Workbook(path, {**_OPTIONS, "tmpdir": work}) as made,
        ):
            # The run's own time, so that the same run gives the same file.
            made.set_properties({"title": title, "created": created.replace(tzinfo=None)})
            made.set_custom_property("schema", SCHEMA)
            made.set_custom_property("manifest_sha256", content.kept.header["manifest_sha256"])
            made.set_calc_mode("auto")
            status = "" if content.passed else "GATE FAILED. "
            book = Book(made, status + title[:LONGEST_FOOTER].replace("&", "&&"))
            for sheet in SHEETS:
                sheet(book, content)
    except FileCreateError as error:
        raise error.args[0] from None
