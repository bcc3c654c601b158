"""Slips in the other market's ledger, each with what must be said of it."""

from __future__ import annotations

from pathlib import Path

from postcgrp.priors import effective, load_ledger
from postcgrp.tests.helpers.paths import OTHER_MARKET

OTHER_ID = load_ledger(OTHER_MARKET / "report.toml", OTHER_MARKET / "assumptions.toml").report.id
R, A = "report.toml", "assumptions.toml"
COUNT, SHARE, LOW, REVENUE = "value = 42000", "value = 0.7", "low = 0.01\nhigh = 0.03", "value = 1500\n"


def load(folder: Path, name: str = R, old: str = "", new: str = "", extra: str = "") -> None:
    """Load the other market with one file's text changed, as a user would have slipped."""
    for source in (R, A):
        text = (OTHER_MARKET / source).read_text(encoding="utf-8")
        if source == name:
            assert old in text
            text = text.replace(old, new, 1) + extra
        (folder / source).write_text(text, encoding="utf-8")
    effective(load_ledger(folder / R, folder / A))


def claim(**fields: object) -> str:
    row = {"id": "new", "role": "prior", "quote": "said", "reason": "why", **fields}
    return "\n[[claim]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in row.items())


def assumption(**fields: object) -> str:
    row = {"source": "assumption", "reason": "why", **fields}
    return "\n[[assumption]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in row.items())


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def note(name: str = "new", **fields: object) -> str:
    return claim(**{"id": name, "quantity": "note", "role": "context", "value": 1, "unit": "count", **fields})


def observed(**fields: object) -> str:
    return claim(
        **{"role": "evidence", "quantity": "revenue", "year": 2027, "value": 5, "unit": "USD million", **fields}
    )


NUMBERS = [
    # a range
    (R, LOW, "low = 0.03\nhigh = 0.01", "", "'thermoplasty_2024': low = 0.03 is not below high = 0.01: swap or widen"),
    (R, LOW, "low = 0.03\nhigh = 0.03", "", "'thermoplasty_2024': low = 0.03 is not below high = 0.03: swap or widen"),
    (R, LOW, "low = 0.01", "", "'thermoplasty_2024' is a prior with an open range: give both ends"),
    (R, LOW, "", "", "'thermoplasty_2024' has no number: give `value`"),
    (R, LOW, f"value = 0.02\n{LOW}", "", "'thermoplasty_2024' has both a value and a range: keep one"),
    (R, LOW, "low = 0.0\nhigh = 0.03", "", "'thermoplasty_2024': low = 0: .* above 0: write a small one (0.001)"),
    (R, LOW, "low = 0.01\nhigh = 1.0", "", "'thermoplasty_2024': high = 1: .* below 1: write a near one (0.999)"),
    (R, LOW, "value = 0", "", "'thermoplasty_2024': value = 0: .* above 0: write a small one"),
    (R, LOW, "value = 1", "", "'thermoplasty_2024': value = 1: .* below 1: write a near one"),
    (A, "low = 5000", "low = 0", "", "assumption 'price': low = 0: .* above 0: write a small one"),
    # percentages
    (R, LOW, "low = 8\nhigh = 15", "", "'thermoplasty_2024': low = 8 is outside 0..1 .* as fractions (0.08)"),
    (R, LOW, "low = 0.08\nhigh = 15", "", "'thermoplasty_2024': high = 15 is outside 0..1 .* as fractions (0.15)"),
    (R, SHARE, "value = 70", "", "'depth_one': value = 70 is outside 0..1 .* as fractions (0.7)"),
    (R, SHARE, "value = -0.7", "", "'depth_one': value = -0.7 is outside 0..1 for unit 'fraction': .* (-0.007)"),
    (A, "high = 0.03", "high = 3", "", "'patient_growth': high = 3 is no yearly rate: .* as fractions (0.03)"),
    (A, "value = 0.1\n", "value = 10\n", "", "'evidence_log_sd': value = 10 is a factor .* as fractions (0.1)"),
    (A, "base_log_sd = 0.10", "base_log_sd = 10", "", "trust 'default': base_log_sd = 10 is a factor .* (0.1)"),
    (A, "low = 5000", "coverage = 90\nlow = 5000", "", "'price': coverage = 90 is not inside 0..1: .* (0.9)"),
    (A, "low = 5000", "coverage = 1\nlow = 5000", "", "'price': coverage = 1 is not inside 0..1: write"),
    (A, "value = 0.8", "value = 80", "", "'uptake_correlation': value = 80 is outside 0..1 .* as fractions (0.8)"),
    # not finite, negative, zero
    (R, COUNT, "value = nan", "", "'patients_na': value = nan is not a finite number: correct it"),
    (R, COUNT, "value = 1e999", "", "'patients_na': value = inf is not a finite number: correct it"),
    (A, "high = 30000", "high = inf", "", "'price': high = inf is not a finite number: correct it"),
    (
        A,
        "base_log_sd = 0.10",
        "base_log_sd = nan",
        "",
        "trust 'default': base_log_sd = nan is not a finite number: correct",
    ),
    (R, COUNT, "value = -42000", "", "'patients_na': value = -42000 patients is negative: it must be positive"),
    (R, REVENUE, "value = -5\n", "", "'revenue_2024': value = -5 USD million is negative: it must be positive"),
    (R, REVENUE, "value = 0\n", "", "'revenue_2024' is evidence of zero, .*: make it a check"),
    (R, COUNT, "value = 0", "", "'patients_na': value = 0: .* above 0: write a small one"),
    (A, "value = 0.1\n", "value = 0\n", "", "'evidence_log_sd' .*: value = 0 must be above zero: write a small one"),
    (A, "value = 0.01\n", "value = -0.01\n", "", "'patient_growth_region_sd' .*: value = -0.01 must be at least zero"),
    (
        A,
        "base_log_sd = 0.10",
        "base_log_sd = 0",
        "",
        "trust 'default': base_log_sd = 0 is not above zero: write a small",
    ),
    (A, "final_log_sd = 0.25", "final_log_sd = 0.05", "", "final_log_sd = 0.05 is below base_log_sd = 0.1: .*: raise"),
    (R, "value = 1\n", "value = 0.5\n", "", "'faster_in_europe': value = 0.5 is no direction: write 1, 0 or -1"),
    # wrong type
    (R, COUNT, 'value = "42000"', "", "claim.patients_na.value = '42000' is not a number: .* without quotes"),
    (R, COUNT, "value = true", "", "claim.patients_na.value = True is not a number: write it as a number"),
    (
        R,
        "\nyear = 2024",
        '\nyear = "2024"',
        "",
        "claim.patients_na.year = '2024' is not a whole number: .* without quotes",
    ),
    (R, "\nyear = 2024", "\nyear = 2024.0", "", "claim.patients_na.year = 2024.0 is not a whole number: write"),
    (
        R,
        'region = "Europe"',
        "region = 2",
        "",
        "claim.patients_europe.region = 2 is not text: write it in quotes",
    ),
    (R, "[2024, 2027, 2032]", "2024", "", "report.anchors = 2024 is not a list: write it in brackets"),
    (R, "[2024, 2027, 2032]", "[2024]", "", "report.anchors = [2024] is too short: give at least 2"),
    (R, '["NA"]', '"NA"', "", "region.North America.aliases = 'NA' is not a list: write it in brackets"),
    (R, "[[region]]", "region = 3\n[[area]]", "", "is not known: use .*[[region]]"),
]

ROWS = [
    # segments
    (
        R,
        'region = "Europe"',
        'region = "europe"',
        "",
        "'patients_europe': region 'europe' is not declared: write it 'Europe'",
    ),
    (R, 'region = "Europe"', 'region = "Europe "', "", "region 'Europe ' is not declared: write it 'Europe'"),
    (R, 'region = "North America"', 'region = "na"', "", "region 'na' is not declared: write it 'North America'"),
    (R, 'region = "Europe"', 'region = "Mars"', "", "region 'Mars' is not declared: use one of North America, Europe"),
    (
        R,
        'name = "Europe"',
        'name = "Europe "',
        "",
        "region.Europe.name = 'Europe ' is empty or .*: write it without",
    ),
    (R, 'name = "China"', 'name = "EUROPE"', "", "region name 'europe' appears 2 times .*: keep one"),
    (R, 'name = "China"', 'name = "north  america"', "", "region name 'north america' appears 2 times .*: keep one"),
    (
        R,
        'name = "thermoplasty"',
        'name = "Biologic-switch-add-on"',
        "",
        "'biologic_switch_add_on' appears 2 times .*: keep one",
    ),
    (
        R,
        "",
        "",
        claim(id="patients_na", quantity="note", role="check", value=1, unit="count"),
        "claim id 'patients_na' appears 2 times .*: keep one",
    ),
    (A, "", "", assumption(id="price_noise", value=0.1, unit="log"), "'price_noise .* appears 2 times .*: keep one"),
    (
        A,
        "",
        "",
        assumption(id="price_noise", region="Mars", value=0.1, unit="log"),
        "region 'Mars' is not declared: use one of",
    ),
    (
        A,
        "",
        "",
        """
[[source]]
kind = "EXAMPLE"
base_log_sd = 0.1
final_log_sd = 0.1
source = "assumption"
reason = "r"
""".replace("EXAMPLE", OTHER_ID),
        "kind of source .* is the report's id too: give it another",
    ),
    # what priors need
    (
        R,
        "year = 2027\nmodality",
        "year = 2028\nmodality",
        "",
        "adoption of thermoplasty: 0 prior claims for anchor year 2027, .*: add",
    ),
    (
        R,
        "",
        "",
        claim(quantity="adoption", year=2028, modality="thermoplasty", value=0.05, unit="fraction"),
        "anchor year 2028, but they are 2024, 2027, 2032: make it a check",
    ),
    (
        R,
        "",
        "",
        claim(quantity="adoption", year=2024, modality="Biologic switch / add-on", value=0.1, unit="fraction"),
        "'Biologic switch / add-on' has no uptake = 'adoption' .*: name 'thermoplasty'",
    ),
    (
        R,
        "",
        "",
        claim(quantity="patients", region="China", value=9, unit="patients"),
        "patients: 2 prior claims for region 'China', .*: make the others checks",
    ),
    (
        R,
        "",
        "",
        claim(quantity="moh", value=0.3, unit="fraction") + claim(id="b", quantity="moh", value=0.4, unit="fraction"),
        "moh: 2 prior claims (new, b), .*: make the others checks",
    ),
    (
        R,
        "",
        "",
        claim(quantity="moh", region="China", value=0.3, unit="fraction"),
        "'new': region 'China': a prior on moh is not by region: remove it",
    ),
    (
        R,
        "",
        "",
        claim(quantity="moh", value=0.3, unit="count"),
        "'new': unit 'count': a prior on moh is in 'fraction': convert it",
    ),
    (
        R,
        "",
        "",
        claim(quantity="price", value=3, unit="count"),
        "'new': quantity 'price' takes no prior .*: use one of patients, .* or make it a check",
    ),
    (
        R,
        "",
        "",
        claim(quantity="adoption_direction", value=1, unit="sign"),
        "'new': a direction needs `region` and `value` .*: add them",
    ),
    (R, SHARE, "value = 0.8", "", "the depth_share claims sum to 1.1, not 1: correct the shares"),
    (R, SHARE, "low = 0.2\nhigh = 0.4", "", "the depth_share claims sum to 0.5..0.7, not 1: correct the shares"),
    (
        R,
        "low = 0.05\nhigh = 0.12",
        "low = 0.01\nhigh = 0.02",
        "",
        "adoption[2027, thermoplasty] and adoption[2032, thermoplasty]: 0.03..0.06, then 0.01..0.02: .* must not fall",
    ),
    (
        R,
        "",
        "",
        claim(quantity="moh", value=0.6, unit="fraction")
        + claim(id="b", quantity="acute_use", value=0.4, unit="fraction"),
        "moh and acute_use: 0.6, then 0.4: .* must not fall: raise it",
    ),
    # evidence
    (R, "", "", observed(region="Mars"), "'new': region 'Mars' is not declared: use one of"),
    (R, "", "", observed(year=2050), "'new': year 2050 is outside 2024..2032: correct it or make the claim context"),
    (
        R,
        "",
        "",
        claim(role="evidence", quantity="revenue", value=5, unit="USD million"),
        "'new' is evidence without a year: add `year`",
    ),
    (
        R,
        "",
        "",
        observed(quantity="volume", unit="fraction", value=0.1),
        "'new': evidence on 'volume', but the model observes revenue, .*: make it a check",
    ),
    (
        R,
        "",
        "",
        observed(unit="patients"),
        "'new': unit 'patients': evidence on revenue is in 'USD million': convert it",
    ),
    (
        R,
        "",
        "",
        observed(quantity="patients", unit="patients", modality="thermoplasty"),
        "modality 'thermoplasty': patients has no modality: remove it",
    ),
    (
        R,
        "",
        "",
        observed(value=0.5, unit="EUR million"),
        "'new': unit 'EUR million', but the report's currency is 'USD': convert .* 'USD million'",
    ),
    (
        R,
        'uptake = "everyone"',
        'uptake = "launch"',
        observed(year=2025, modality="Biologic switch / add-on"),
        "has evidence in 2025, before its vendor_launch_year 2026: make the claim a check or move the launch",
    ),
    # quantities that nothing reads
    (
        R,
        "",
        "",
        note(quantity="cagr", role="check"),
        "'new': quantity 'cagr' is compared with nothing: write 'growth_rate'",
    ),
    (R, "", "", note(quantity="cagr"), "'new': quantity 'cagr' is not read: write 'growth_rate', or a name unlike it"),
    (R, "", "", note(quantity="Market Size"), "'Market Size' is not read: write 'revenue'"),
    (R, "", "", note(quantity="revenu"), "'revenu' is not read: write 'revenue'"),
    (R, "", "", note(role="check"), "'new': quantity 'note' is compared with nothing: make it context"),
    (R, "", "", observed(quantity="cagr"), "'new': evidence on 'cagr', but the model observes revenue"),
    # keys without effect
    (R, "", "", note(coverage=0.5), "'new': coverage has no effect on a fixed number"),
    (R, COUNT, "coverage = 0.5\nvalue = 42000", "", "'patients_na': coverage has no effect on a fixed number: remove"),
    (R, LOW, f"coverage = 90\n{LOW}", "", "'thermoplasty_2024': coverage = 90 is not inside 0..1: .* (0.9)"),
    (
        A,
        "value = 0.8",
        'value = 0.8\nfamily = "normal"',
        "",
        "'uptake_correlation' .*: family has no effect on a fixed",
    ),
    (A, "value = 0.8", "value = 0.8\ncoverage = 0.5", "", "'uptake_correlation' .*: coverage has no effect on a fixed"),
    # names and labels
    (
        R,
        'name = "China"',
        'name = "China"\nlabel = "europe"',
        "",
        "'China': label 'europe' is also what 'Europe' is called",
    ),
    (
        R,
        'name = "China"',
        'name = "China"\naliases = ["NA"]',
        "",
        "'China': alias 'NA' is also what 'North America' is",
    ),
    (
        R,
        'name = "China"',
        f'name = "China"\nlabel = "{"c" * 300}"',
        "",
        "is 300 characters long: shorten it to 100 at most",
    ),
    (R, "", "", note(name="n" * 90), "is 90 characters long: shorten it to 80 at most"),
    # names and fields
    (R, "", "", note(valeu=3), "claim.new.valeu is not known: write 'value'"),
    (R, "", "", note(colour=3), "claim.new.colour is not known: use one of id, year"),
    (R, "", "", note(role="chek"), "claim.new.role = 'chek' is not known: use 'prior', 'evidence'"),
    (
        R,
        "",
        "",
        note(unit="percent"),
        "claim.new.unit = 'percent' is not known: use one of patients, fraction, .* 'USD million'",
    ),
    (
        R,
        'uptake = "everyone"',
        'uptake = "all"',
        "",
        "modality.Biologic .*.uptake = 'all' is not known: use 'everyone', 'adoption' or 'launch'",
    ),
    (R, 'uptake = "everyone"', "", "", "modality.Biologic .*.uptake is missing: add it"),
    (
        R,
        'currency = "USD"',
        'currency = "dollars"',
        "",
        "report.currency = 'dollars' is not a code .*: write one such as 'USD'",
    ),
    (
        R,
        "[2024, 2027, 2032]",
        "[2024, 2032, 2027]",
        "",
        "anchors [2024, 2032, 2027] are not increasing years: sort them",
    ),
    (
        R,
        "first_year = 2024",
        "first_year = 2023",
        "",
        "anchors .* must begin with first_year = 2023 .*: correct one of them",
    ),
    (
        A,
        'id = "price"',
        'id = "prise"',
        "",
        "assumption 'prise' for the whole market is not one that the model knows: write 'price'",
    ),
    (
        A,
        'id = "price"\nlow = 5000\nhigh = 30000\nunit = "USD per patient-year"',
        'id = "price_noise"\nmodality = "thermoplasty"\nvalue = 0.1\nunit = "log"',
        "",
        "no assumption 'price' for modality Biologic .*: add one",
    ),
    (
        A,
        "",
        "",
        assumption(id="pool_error", region="China", low=-0.1, high=0.1, unit="log"),
        "'pool_error' for region China: region 'China', but it is one for the whole market: remove `region`",
    ),
    (
        A,
        "",
        "",
        assumption(id="price", region="China", low=1, high=2, unit="USD per patient-year"),
        "region 'China', but it may name modality only: remove `region`",
    ),
    (
        A,
        "",
        "",
        assumption(id="evidence_log_sd", year=2024, value=1, unit="log")
        + assumption(id="evidence_log_sd", modality="thermoplasty", value=1, unit="log")
        + assumption(id="evidence_log_sd", region="China", value=1, unit="log")
        + assumption(id="price_growth", year=2027, low=0.0, high=0.1, unit="fraction per year")
        + assumption(id="price_growth", modality="thermoplasty", low=0.0, high=0.2, unit="fraction per year"),
        "'price_growth' for year 2027, modality thermoplasty: 2 rows .*: add one that names all of year, modality",
    ),
    (
        A,
        'unit = "USD per patient-year"',
        'unit = "USD million"',
        "",
        "'price' .*: unit 'USD million', but it is in 'USD per patient-year': convert it",
    ),
    (
        A,
        "low = 5000\nhigh = 30000",
        "value = 9000",
        "",
        "'price' for the whole market is the number 9000: this one needs `low` and `high`",
    ),
    (
        A,
        "value = 0.8",
        "low = 0.1\nhigh = 0.8",
        "",
        "'uptake_correlation' .* is a range 0.1..0.8: it must be a fixed `value`",
    ),
    (
        A,
        "low = 5000",
        'family = "normal"\nlow = 5000',
        "",
        "'price' .*: family 'normal', but its prior may be lognormal or logstudent: remove `family`",
    ),
]


CASES = [*NUMBERS, *ROWS]
