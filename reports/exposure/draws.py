"""The draws by country and company as an export: the same schema, header and hashes as `postcgrp export` writes."""

from __future__ import annotations

import numpy as np
from xarray import Dataset

from postcgrp.inference.diagnostics import SAMPLE
from postcgrp.models import variables as v
from postcgrp.priors.catalogue import MONEY_UNIT
from postcgrp.reports.export.schema import DRAW_COLUMNS, TYPES, Export, Quantity, make_header
from postcgrp.reports.export.thinning import thinning
from postcgrp.reports.exposure.split import Exposure
from postcgrp.reports.runs.groups import INDEX, draw_numbers
from postcgrp.reports.runs.run import Run

ASSUMED_SHARES = "under assumed shares, not the report's"
QUANTITIES_OF_EXPOSURE = (
    Quantity("revenue_country", ("year", "country", "modality"), MONEY_UNIT, f"revenue by country, {ASSUMED_SHARES}"),
    Quantity("revenue_company", ("year", "company", "part"), MONEY_UNIT, f"revenue by company, {ASSUMED_SHARES}"),
)


def exposure_export(run: Run, exposure: Exposure) -> Export:
    """Every draw of a run's revenue by country and by company [draw, ...], with the header that vouches for it."""
    currency = run.priors.ledger.report.currency
    held = {q.name: Quantity(q.name, q.dims, q.unit.format(currency=currency), q.about) for q in QUANTITIES_OF_EXPOSURE}
    arrays = dict(zip(held, (exposure.countries, exposure.companies), strict=True))
    chains, draws = (exposure.countries.sizes[dim] for dim in SAMPLE)
    numbers = draw_numbers(chains, draws)
    data = Dataset(
        coords={
            column.array: ("draw", numbers[name].astype(column.dtype))
            for column, name in zip(DRAW_COLUMNS, INDEX, strict=True)
        }
    )
    for name, quantity in held.items():
        array = arrays[name].transpose(*SAMPLE, *quantity.dims)
        values = array.values.reshape(chains * draws, *array.shape[2:])
        coords = {dim: np.asarray(array[dim].values).astype(TYPES[dim]) for dim in quantity.dims}
        attrs = {"units": quantity.unit, "long_name": quantity.about}
        data = data.assign_coords(coords).assign({name: (("draw", *quantity.dims), values, attrs)})
    _, said = thinning(run.read([v.REVENUE, v.REVENUE_TOTAL]), None)
    return Export(data, make_header(data, held, run.manifest, run.priors.recipe(), said))
