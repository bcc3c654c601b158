"""Who is exposed to what: the patient funnel, and revenue by country and company under assumed shares."""

from typing import TYPE_CHECKING

from postcgrp.priors import lazy

if TYPE_CHECKING:
    from postcgrp.reports.exposure.answer import ExposureAnswer, exposure
    from postcgrp.reports.exposure.funnel import funnel_draws
    from postcgrp.reports.exposure.funnel_files import FunnelAnswer, patient_funnel
    from postcgrp.reports.exposure.funnel_tables import funnel_table, must_be_true, pool_path
    from postcgrp.reports.exposure.split import Exposure, divide_draws, divide_revenue
    from postcgrp.reports.exposure.tables import company_table, country_table, exposure_table

__all__ = [
    "Exposure",
    "ExposureAnswer",
    "FunnelAnswer",
    "company_table",
    "country_table",
    "divide_draws",
    "divide_revenue",
    "exposure",
    "exposure_table",
    "funnel_draws",
    "funnel_table",
    "must_be_true",
    "patient_funnel",
    "pool_path",
]

if not TYPE_CHECKING:  # or the type checker would take any name for a public one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "Exposure": "split",
            "ExposureAnswer": "answer",
            "FunnelAnswer": "funnel_files",
            "company_table": "tables",
            "country_table": "tables",
            "divide_draws": "split",
            "divide_revenue": "split",
            "exposure": "answer",
            "exposure_table": "tables",
            "funnel_draws": "funnel",
            "funnel_table": "funnel_tables",
            "must_be_true": "funnel_tables",
            "patient_funnel": "funnel_files",
            "pool_path": "funnel_tables",
        },
    )
