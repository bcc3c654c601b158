"""`postcgrp export`: the joint draws in the formats that analysts use; docs/schema.md says what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from xarray import Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.inference.settings import workers
from postcgrp.priors import InputError, Ledger
from postcgrp.priors.lookup import label_of
from postcgrp.reports.export.arrow import LAYOUTS, SIDECAR, column_names, csv_text, shape, to_arrow
from postcgrp.reports.export.read import read_header
from postcgrp.reports.export.schema import (
    CELLS,
    DRAW_COLUMNS,
    KEY,
    TYPES,
    Export,
    Header,
    Quantity,
    dump,
    make_header,
    quantities,
)
from postcgrp.reports.export.thinning import statement, thinning
from postcgrp.reports.export.xlsx import MOST_COLUMNS, MOST_ROWS, write_xlsx
from postcgrp.reports.runs.place import beside, check_parent, new_file, new_folder
from postcgrp.reports.runs.run import Run

MOST_TABLES = 4  # in memory at once


@dataclass(frozen=True)
class Chosen:
    """What to export: labels by quantity and dim; None for all."""

    quantities: Sequence[str] | None = None
    years: Sequence[int] | None = None
    regions: Sequence[str] | None = None
    depths: Sequence[str] | None = None
    modalities: Sequence[str] | None = None
    lines: Sequence[str] | None = None

    def labels(self) -> dict[str, Sequence[Any] | None]:
        """Chosen labels by dim."""
        labels = (self.years, self.regions, self.depths, self.modalities, self.lines)
        return {dim: some or None for dim, some in zip((*CELLS, "line"), labels, strict=True)}


@dataclass(frozen=True)
class Format:
    """A file format: the suffix of its one file ("" where it is a folder of tables), layout, and writer."""

    suffix: str
    layout: str | None
    write: Callable[[Export, Path, str], None]

    @property
    def folder(self) -> bool:
        """Whether it is a folder, of tables or of chunks."""
        return self.suffix in ("", ".zarr")


def export(
    run: Run,
    out: Path,
    *,
    to: str,
    chosen: Chosen | None = None,
    thin: int | None = None,
    layout: str | None = None,
) -> Export:
    """Write a run's joint draws to `out` in the format `to` (`FORMATS`); returns what was written.

    Parameters: `thin`, how many draws to keep (:mod:`thinning`); `layout`, long or wide, for tables (by default wide in
    xlsx, else long). Raises :class:`InputError` for an unknown name, too much for the format, or a target that cannot
    be or must not be written.
    """
    kind = _format(to)
    layout = _layout(to, layout)
    check_export_target(out, to)
    done = select(run, chosen or Chosen(), thin)
    if to == "xlsx":
        _check_sheets(done.header, layout)
    if layout == "wide":
        _check_names(done.header)
    with (new_folder if kind.folder else new_file)(out) as place:
        kind.write(done, place, layout)
    return done


def select(run: Run, chosen: Chosen, thin: int | None = None) -> Export:
    """The chosen part of a run's posterior as arrays [draw, ...], with their header; the arguments are `export`'s."""
    declared = quantities(run.priors)
    draws = run.read(declared)  # which leaves out what the run lacks
    known = {name: quantity for name, quantity in declared.items() if name in draws}
    count = draws.sizes["chain"] * draws.sizes["draw"]
    if thin is not None and not 1 <= thin <= count:
        raise InputError(f"--thin {thin}: the run has {count} draws: give how many to keep, 1 to {count}")
    held = _held(known, chosen)
    named = {dim: _named(run.priors.ledger, dim, labels) for dim, labels in chosen.labels().items() if labels}
    there = {dim: draws[dim].values.tolist() if dim in draws.coords else [] for dim in named}
    where = {dim: _known(there[dim], labels, dim) for dim, labels in named.items()}
    kept, said = thinning(draws, thin)
    chain, iteration = np.unravel_index(kept, (draws.sizes["chain"], draws.sizes["draw"]))
    data = Dataset(
        coords={
            column.array: ("draw", (number + 1).astype(column.dtype))
            for column, number in zip(DRAW_COLUMNS, (chain, iteration, kept), strict=True)
        }
    )
    for name, quantity in held.items():
        of = draws[name].transpose(*SAMPLE, *quantity.dims)
        of = of.sel({dim: labels for dim, labels in where.items() if dim in of.dims})
        values = of.values.reshape(count, *of.shape[2:])[kept]
        if not np.isfinite(values).all():
            raise InputError(f"{name}: holds numbers that are not finite: run the forecast again")
        coords = {dim: of[dim].values.astype(TYPES[dim]) for dim in quantity.dims}
        attrs = {"units": quantity.unit, "long_name": quantity.about}
        data = data.assign_coords(coords).assign({name: (("draw", *quantity.dims), values, attrs)})
    return Export(data, make_header(data, held, run.manifest, run.priors.recipe(), said))


def export_lines(export: Export, out: Path, currency: str) -> list[str]:
    """What to say of an export: its thinning error, its tables, its hash."""
    header = export.header
    failed = header["manifest"].get("status") == "failed"
    return [
        *(["the run missed its convergence gate: these draws are not to be relied on"] if failed else []),
        statement(header["thinning"], f"{currency} million"),
        f"{out}: {', '.join(header['tables'])}; schema {header['schema']}",
        f"content sha256 {header['content_sha256']}",
    ]


def default_export(run: Path, to: str) -> Path:
    """Where an export goes if nobody says: beside the run folder."""
    return beside(run, f"{_format(to).suffix or f'-{to}'}")


def check_export_target(out: Path, to: str) -> None:
    """Refuse a target that cannot be written, or that holds anything but an earlier export in the same format.

    Raises :class:`InputError`.
    """
    kind = _format(to)
    if kind.suffix and out.suffix != kind.suffix:
        raise InputError(f"--out {out}: is for {to}: end it in {kind.suffix}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if out.is_dir() != kind.folder:
            raise InputError(f"--out {out}: is no export to {to}: name a new place")
        try:
            header = read_header(out, to)
        except InputError:
            raise InputError(f"--out {out}: holds something else than an export to {to}: name a new place") from None
        if not kind.suffix and (foreign := _foreign(out, to, header)):
            raise InputError(f"--out {out}: holds {foreign[0]}, which is of no export to {to}: name a new place")
    check_parent(out)


def _foreign(folder: Path, to: str, header: Header) -> list[str]:
    """Names in a folder of tables that are not of its export, hidden ones too: it will be replaced whole."""
    ours = {f"{name}.{to}{behind}" for name in header["tables"] for behind in ("", SIDECAR)}
    return sorted({file.name for file in folder.iterdir()} - ours - {".DS_Store"})


def _held(known: dict[str, Quantity], chosen: Chosen) -> dict[str, Quantity]:
    """Quantities to export: those named, or all but totals and means over a dim of which only a part is wanted."""
    narrow = [dim for dim, labels in chosen.labels().items() if labels is not None]
    if chosen.quantities is None:
        return {name: quantity for name, quantity in known.items() if not {*quantity.over} & {*narrow}}
    held = {name: known[name] for name in _known(list(known), chosen.quantities, "quantity")}
    for name, quantity in held.items():
        for dim in narrow:
            if dim in quantity.over:
                raise InputError(f"{name}: is over every {dim}, which --{_option(dim)} cannot narrow: leave one out")
    return held


def _named(ledger: Ledger, dim: str, labels: Sequence[Any]) -> list[Any]:
    """Labels by their names in the ledger, which declares their aliases; what names nothing stays as it is."""
    named = []
    for label in labels:
        try:
            named.append(label_of(ledger, dim, label) if dim in ledger.segments else label)
        except InputError:
            named.append(label)
    return named


def _known(known: list[Any], wanted: Sequence[Any], dim: str) -> list[Any]:
    """The wanted labels in the run's order."""
    for label in wanted:
        if label not in known:
            way_out = f"use some of {', '.join(map(str, known))}" if known else "leave the option out"
            raise InputError(f"--{_option(dim)} {label!r}: this run has no such {dim}: {way_out}")
    return [label for label in known if label in wanted]


def _option(dim: str) -> str:
    return {"quantity": "quantities", "modality": "modalities"}.get(dim, f"{dim}s")


def _format(to: str) -> Format:
    if to not in FORMATS:
        raise InputError(f"--to {to}: is not a format: use one of {', '.join(FORMATS)}")
    return FORMATS[to]


def _layout(to: str, layout: str | None) -> str:
    default = FORMATS[to].layout
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"--layout {layout}: is not a layout: use one of {', '.join(LAYOUTS)}")
    if layout is not None and default is None:
        raise InputError(f"--layout {layout}: {to} holds arrays, which have no layout: leave it out")
    return layout or default or ""


def _check_sheets(header: Header, layout: str) -> None:
    for name in header["tables"]:
        rows, columns = shape(name, header, layout)
        if rows >= MOST_ROWS or columns > MOST_COLUMNS:
            most = (MOST_ROWS - 1) * header["draws"]["count"] // rows
            way = f"--thin {most}, --layout wide" if rows >= MOST_ROWS and most else "--layout long"
            raise InputError(
                f"{name}: {rows:,} rows and {columns:,} columns, but a sheet holds {MOST_ROWS - 1:,} below its header "
                f"and {MOST_COLUMNS:,}: use {way}, fewer --years or --regions, or --to parquet"
            )


def _check_names(header: Header) -> None:
    for name in header["tables"]:
        if len({*(names := column_names(name, header, "wide"))}) < len(names):
            raise InputError(f"--layout wide: commas in labels give columns of {name} the same name: use --layout long")


def _write_parquet(export: Export, folder: Path, layout: str) -> None:
    header = {KEY: dump(export.header)}

    def write(name: str) -> None:
        table = to_arrow(export, name, layout).replace_schema_metadata(header)
        labels = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        pa.parquet.write_table(table, folder / f"{name}.parquet", compression="zstd", use_dictionary=labels)

    # Compressing takes most of it, and does not hold Python's lock; each thread holds a table.
    with ThreadPoolExecutor(min(workers(), MOST_TABLES)) as pool:
        list(pool.map(write, export.header["tables"]))


def _write_csv(export: Export, folder: Path, layout: str) -> None:
    header = dump(export.header)
    for name in export.header["tables"]:
        table = to_arrow(export, name, layout)
        for k, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                labels = pa.array([csv_text(label) for label in export.header["coords"][field.name]])
                codes = table[k].combine_chunks().indices
                table = table.set_column(k, field.name, labels.take(codes))
        pa.csv.write_csv(table, folder / f"{name}.csv")
        (folder / f"{name}.csv{SIDECAR}").write_text(header, encoding="utf-8")


def _arrays(export: Export) -> Dataset:
    return export.data.assign_attrs({KEY: dump(export.header), "Conventions": "CF-1.11"})


def _write_netcdf(export: Export, path: Path, _: str) -> None:
    packed = {name: {"zlib": True, "shuffle": True, "complevel": 1} for name in export.header["tables"]}
    # Through memory: on a full disk HDF5 itself brings the process down when it closes its file.
    path.write_bytes(bytes(_arrays(export).to_netcdf(engine="h5netcdf", encoding=packed)))


def _write_zarr(export: Export, folder: Path, _: str) -> None:
    from zarr.storage import MemoryStore

    # Version 2, which readers in R and Julia know too; a lost chunk then reads as NaN and not as zero.
    packed = {name: {"_FillValue": np.nan} for name in export.header["tables"]}
    # Through memory: its threads write on when the disk is full or the user stops, into a folder that is being removed.
    parts: dict[str, Any] = {}
    _arrays(export).to_zarr(MemoryStore(parts), mode="w", zarr_format=2, consolidated=True, encoding=packed)
    for name, part in parts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(part.to_bytes())


FORMATS = {
    "parquet": Format("", "long", _write_parquet),
    "csv": Format("", "long", _write_csv),
    "xlsx": Format(".xlsx", "wide", write_xlsx),
    "netcdf": Format(".nc", None, _write_netcdf),
    "zarr": Format(".zarr", None, _write_zarr),
}
