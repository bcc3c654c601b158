"""The audit: figures recomputed from the claims, and findings that flip when a claim is changed."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path
from typing import Any

import pytest

import postcgrp.priors.audit
from postcgrp.priors.audit import Finding, audit, findings_table, slips
from postcgrp.priors.ledger import Assumption, Claim, Ledger, Quantified, load_ledger, middle
from postcgrp.priors.sets import Overlay, prior_set

NUMBERS_OF_ARITHMETIC = {0, 1, 2, 3, 0.5, 10, 100, 1e-6, 1e-3, 1e3, 1e6}
IMPLAUSIBLE = 50  # the one threshold, and no number of the market


@pytest.fixture(scope="module")
def shipped() -> Ledger:
    """The ledger in the package."""
    return load_ledger()


def changed(
    ledger: Ledger,
    plant: dict[str, dict[str, Any]] | None = None,
    *,
    drop: tuple[str, ...] = (),
    add: tuple[Claim, ...] = (),
) -> Ledger:
    """A validated ledger with claims changed (fields by id), dropped by id, or added."""
    plant = plant or {}
    assert set(plant) | set(drop) <= {c.id for c in ledger.claims}
    kept = [c.model_copy(update=plant.get(c.id, {})) for c in ledger.claims if c.id not in drop]
    return Ledger.model_validate({**dict(ledger), "claims": [c.model_dump() for c in (*kept, *add)]})


def without(ledger: Ledger, *quantities: str) -> Ledger:
    """A ledger that lacks every claim on some quantities, unvalidated."""
    return ledger.model_copy(update={"claims": tuple(c for c in ledger.claims if c.quantity not in quantities)})


def claim(ledger: Ledger, name: str, **new: object) -> Claim:
    """A claim of a ledger, perhaps with other fields."""
    return next(c for c in ledger.claims if c.id == name).model_copy(update=new)


def number(ledger: Ledger, name: str) -> float:
    """The point, or the middle of the range, of a claim."""
    return middle(claim(ledger, name))


def findings(ledger: Ledger, check: str, about: str = "") -> list[Finding]:
    """Findings of one check, perhaps only those that rest on one claim."""
    return [f for f in audit(ledger) if f.check == check and (not about or about in f.claims)]


def one(ledger: Ledger, check: str, about: str = "") -> Finding:
    """The only finding of one check, perhaps only on one claim."""
    (finding,) = findings(ledger, check, about)
    return finding


def ends(row: Quantified) -> tuple[float, float]:
    """The ends of a closed range."""
    assert row.low is not None
    assert row.high is not None
    return row.low, row.high


def numbers(text: str) -> list[float]:
    """Every number in a text."""
    return [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*", text)]


# ---- the shipped report --------------------------------------------------------------------------


def test_statuses_of_the_shipped_report(shipped: Ledger) -> None:
    """The clash of figures, the ambiguous claims and what devices cost by other sources; no other finding differs."""
    by_status: dict[str, list[str]] = {}
    for finding in audit(shipped):
        by_status.setdefault(finding.status, []).append(finding.check)
    assert by_status["differs"] == ["growth_rate", "spend_against_price", "region_lists"]
    assert by_status["derived"] == ["revenue_by_modality", "spend_per_patient", "spend_per_adopter"]
    assert by_status["ambiguous"] == [
        "adoption_scope",
        "treatment_action_overlap",
        "adoption_payer_direction_contradiction",
        "pipeline_stage_direction_contradiction",
    ]


def test_every_check_claim_is_audited(shipped: Ledger) -> None:
    """A claim whose role is to be compared is the subject of a finding."""
    audited = {name for finding in audit(shipped) for name in finding.claims}
    assert {c.id for c in shipped.claims if c.role == "check"} <= audited
    assert audited <= {c.id for c in shipped.claims}


def test_findings_are_complete_lines(shipped: Ledger) -> None:
    """Every finding has both sides and one sentence of treatment, on one line each."""
    for f in audit(shipped):
        assert re.fullmatch(r"[a-z0-9_]+", f.check)
        assert f.claims
        assert len(set(f.claims)) == len(f.claims)
        assert f.treatment.endswith(".")
        for text in (f.expected, f.found, f.treatment):
            assert text
            assert "\n" not in text
            assert "None" not in text.replace("None is", "")
            assert "inf" not in text.split()


def test_table_has_a_row_for_each_finding(shipped: Ledger) -> None:
    """The table keeps the order and joins the claim ids; without findings it keeps its columns."""
    found = audit(shipped)
    frame = findings_table(found)
    assert list(frame.columns) == ["check", "status", "claims", "expected", "found", "treatment"]
    assert list(frame["found"]) == [f.found for f in found]
    assert frame["claims"][0] == ", ".join(found[0].claims)
    assert list(findings_table(()).columns) == list(frame.columns)


def test_modality_sums(shipped: Ledger) -> None:
    """Totals are the sums of the modalities; the one not stated is the remainder."""
    parts = ("non_invasive", "implantable")
    for year in (2025, 2035):
        finding = one(shipped, "revenue_by_modality", f"revenue_{year}")
        cells = [number(shipped, f"revenue_{m}_{year}") for m in ("pharmacologic", *parts)]
        assert finding.status == "agrees"
        assert numbers(finding.found) == [*cells, sum(cells)]
        assert sum(cells) == number(shipped, f"revenue_{year}")
    left = number(shipped, "revenue_2030") - sum(number(shipped, f"revenue_{m}_2030") for m in parts)
    finding = one(shipped, "revenue_by_modality", "revenue_2030")
    assert numbers(finding.found)[-1] == left
    assert "pharmacologic 2030" in finding.expected
    assert "enters as evidence" in finding.treatment


def test_stated_shares(shipped: Ledger) -> None:
    """Revenue of the modality over that of the market, beside the share that is stated."""
    for modality in ("pharmacologic", "non_invasive"):
        part, total = number(shipped, f"revenue_{modality}_2025"), number(shipped, "revenue_2025")
        finding = one(shipped, "stated_share", f"revenue_share_{modality}_2025")
        assert numbers(finding.found) == pytest.approx([part, total, 100 * part / total], abs=0.05)


def test_growth_rate(shipped: Ledger) -> None:
    """Growth over the window and by half-decade, and where the stated rate would end."""
    first, mid, last = (math.log(number(shipped, f"revenue_{y}")) for y in (2025, 2030, 2035))
    finding = one(shipped, "growth_rate")
    rates = [math.expm1((last - first) / 10), math.expm1((mid - first) / 5), math.expm1((last - mid) / 5)]
    for rate in rates:
        assert f"{100 * rate:.2f} %" in finding.found
    end = math.exp(first + 10 * math.log1p(number(shipped, "growth_rate_2025_2035")))
    assert f"2035 at {end:.0f}" in finding.expected


def test_overuse_within_acute_use(shipped: Ledger) -> None:
    """The two ranges imply the conditional share at their opposite ends."""
    moh, acute = (ends(claim(shipped, name)) for name in ("moh_2025", "acute_use_2025"))
    found = numbers(one(shipped, "moh_within_acute_use").found)
    assert found[-2:] == pytest.approx([100 * moh[0] / acute[1], 100 * moh[1] / acute[0]], abs=0.05)


def test_spend_per_adopter(shipped: Ledger) -> None:
    """Revenue over adopters at each anchor, and the yearly growth that adoption leaves to explain."""
    years = (2025, 2030, 2035)
    pool = number(shipped, "patients_2025")
    spend = [
        number(shipped, f"revenue_non_invasive_{y}") * 1e6 / number(shipped, f"adoption_{y}") / pool for y in years
    ]
    assert [round(s, -2) for s in spend] == [2900, 3700, 4600]
    finding = one(shipped, "spend_per_adopter")
    for year, value in zip(years, spend, strict=True):
        (shown,) = re.findall(rf"([\d,]+) \([\d, to]+\) in {year}", finding.found)
        assert numbers(shown) == pytest.approx([value], rel=0.005)
    assert f"{100 * math.expm1(math.log(spend[2] / spend[0]) / 10):.2g} % a year" in finding.found


def test_spend_per_patient_uses_the_derived_figure(shipped: Ledger) -> None:
    """Drug spend per patient at every anchor, that of 2030 from the remainder of the total."""
    pool = number(shipped, "patients_2025")
    left = number(shipped, "revenue_2030") - number(shipped, "revenue_non_invasive_2030")
    left -= number(shipped, "revenue_implantable_2030")
    finding = one(shipped, "spend_per_patient")
    assert f"{float(f'{left * 1e6 / pool:.3g}'):,.0f} in 2030" in finding.found
    assert "revenue_2030" in finding.claims


def test_region_premium(shipped: Ledger) -> None:
    """Value per patient in the region over value per patient elsewhere."""
    share = claim(shipped, "revenue_share_united_states")
    own, pool = number(shipped, "patients_united_states_2025"), number(shipped, "patients_2025")
    finding = one(shipped, "region_premium")
    premium = [(s / own) / ((1 - s) / (pool - own)) for s in ends(share)]
    assert numbers(finding.found)[-2:] == pytest.approx(premium, abs=0.005)
    assert [round(p, 2) for p in premium] == [1.05, 1.29]


def logit_middle(row: Assumption) -> float:
    """The median of a range of shares."""
    odds = math.sqrt(math.prod(end / (1 - end) for end in ends(row)))
    return odds / (1 + odds)


def test_adoption_scope_illustration(shipped: Ledger) -> None:
    """Mid-range adoption less the assumed procedures: share of the ceiling risen x eligible share x depth share."""
    rows = {(a.id, a.depth): a for a in shipped.assumptions if a.line is None and a.modality in (None, "implantable")}
    eligible = sum(
        number(shipped, f"depth_share_{name}_2025") * logit_middle(rows["eligible_share", depth])
        for name, depth in (("2", "2"), ("3plus", "3+"))
    )
    found = one(shipped, "adoption_scope").found
    start, ceiling = middle(rows["vendor_launch_year", None]), logit_middle(rows["launch_ceiling", None])
    speed = math.sqrt(math.prod(ends(rows["launch_speed", None])))
    for year in (2030, 2035):
        middle_of_range = number(shipped, f"adoption_{year}")
        less = middle_of_range - eligible * ceiling * (1 - 2 ** -(((year + 0.5 - start) / speed) ** 2))
        assert f"{year}: from {100 * middle_of_range:.3g} to {100 * less:.3g} %" in found


def test_overlapping_actions(shipped: Ledger) -> None:
    """The ends of the treatment actions' ranges, added."""
    actions = [c for c in shipped.claims if c.quantity in ("treatment_action", "line_use")]
    sums = [100 * sum(ends(c)[side] for c in actions) for side in (0, 1)]
    assert numbers(one(shipped, "treatment_action_overlap").found) == pytest.approx([len(actions), *sums])


# ---- planted and removed inconsistencies ---------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "about", "plant", "before", "after"),
    [
        ("revenue_by_modality", "revenue_2025", {"revenue_2025": {"value": 435.0}}, "agrees", "differs"),
        ("revenue_by_modality", "revenue_2025", {"revenue_2025": {"value": 431.0}}, "agrees", "agrees"),  # rounding
        ("revenue_by_modality", "revenue_2030", {"revenue_2030": {"value": 150.0}}, "derived", "differs"),
        ("patients_by_region", "", {"patients_2025": {"value": 120000.0}}, "agrees", "differs"),
        ("patients_by_region", "", {"patients_japan_2025": {"value": 9000.0}}, "agrees", "differs"),
        ("stated_share", "revenue_share_pharmacologic_2025", {"revenue_share_pharmacologic_2025": {"value": 0.89}},
         "agrees", "differs"),
        ("stated_share", "revenue_share_non_invasive_2025", {"revenue_share_non_invasive_2025": {"value": 0.105}},
         "agrees", "differs"),
        ("growth_rate", "", {"growth_rate_2025_2035": {"value": 0.0725}}, "differs", "agrees"),
        ("growth_rate", "", {"growth_rate_2025_2035": {"value": 0.073}}, "differs", "agrees"),  # rounded to 0.1 %
        ("growth_rate", "", {"revenue_2035": {"value": 890.0}}, "differs", "agrees"),
        ("moh_within_acute_use", "", {"moh_2025": {"low": 0.5, "high": 0.6}}, "agrees", "ambiguous"),
        ("moh_within_acute_use", "", {"moh_2025": {"low": 0.7, "high": 0.8}}, "agrees", "differs"),
        ("region_premium", "", {"revenue_share_united_states": {"low": 0.5, "high": 0.6}}, "agrees", "ambiguous"),
        ("region_premium", "", {"revenue_share_united_states": {"low": 0.4, "high": 0.5}}, "agrees", "differs"),
        ("region_premium", "", {"intensity_direction_united_states": {"value": -1.0}}, "agrees", "differs"),
        ("adoption_restated", "", {"treatment_action_non_invasive_2025": {"high": 0.2}}, "agrees", "differs"),
        ("acute_use_restated", "", {"acute_use_over": {"low": 0.6}}, "agrees", "ambiguous"),
        ("acute_use_restated", "", {"acute_use_over": {"low": 0.7}}, "agrees", "differs"),
        ("headache_days_restated", "", {"headache_days_use_case": {"low": 25.0}}, "agrees", "differs"),
        ("adoption_trend_direction", "", {"adoption_trend": {"value": -1.0}}, "agrees", "differs"),
        ("mix_direction", "", {"revenue_pharmacologic_2035": {"value": 860.0}}, "agrees", "differs"),
        ("intensity_growth_direction", "", {"revenue_pharmacologic_2035": {"value": 800.0}}, "agrees", "differs"),
    ],
)  # fmt: skip
def test_planted_change_flips_the_status(
    shipped: Ledger, check: str, about: str, plant: dict[str, dict[str, Any]], before: str, after: str
) -> None:
    """Each check sees an inconsistency put in or taken out, and nothing within rounding."""
    assert one(shipped, check, about).status == before
    assert one(changed(shipped, plant), check, about).status == after


def test_depth_shares_of_another_year_that_miss_the_whole(shipped: Ledger) -> None:
    """The ledger refuses priors that do not sum to one; the audit sees other years' shares."""
    later = tuple(
        claim(shipped, f"depth_share_{name}_2025", id=f"later_{name}", year=2035, role="check")
        for name in ("1", "2", "3plus")
    )
    assert one(changed(shipped, add=later), "depth_share_by_depth", "later_1").status == "agrees"
    high = later[0].model_copy(update={"value": 0.3})
    assert one(changed(shipped, add=(high, *later[1:])), "depth_share_by_depth", "later_1").status == "differs"


def test_region_lists_agree_when_worded_and_counted_alike(shipped: Ledger) -> None:
    """Without the two other cuts of the world the lists agree; a wording or a count alone breaks it."""
    text_only = changed(shipped, drop=("region_list_table", "region_list_chapters"))
    assert one(text_only, "region_lists").status == "agrees"
    assert one(changed(shipped, drop=("region_list_chapters",)), "region_lists").status == "differs"
    assert one(changed(text_only, {"region_list_text": {"value": 6.0}}), "region_lists").status == "differs"


def test_adoption_scope_is_settled_by_claims_in_the_launch_years(shipped: Ledger) -> None:
    """A treatment action of the same name in each year with launched sales ends the ambiguity."""
    told = tuple(
        claim(shipped, "treatment_action_non_invasive_2025", id=f"told_{year}", year=year) for year in (2030, 2035)
    )
    assert one(changed(shipped, add=told), "adoption_scope").status == "agrees"
    half = one(changed(shipped, add=told[:1]), "adoption_scope")
    assert half.status == "ambiguous"
    assert "2035:" in half.found
    assert "2030:" not in half.found
    unsold = ("revenue_implantable_2025", "revenue_implantable_2030", "revenue_implantable_2035")
    assert not findings(changed(shipped, drop=unsold), "adoption_scope")


def test_adoption_scope_without_assumptions_has_no_illustration(shipped: Ledger) -> None:
    """A ledger without the assumed uptake is audited all the same."""
    kept = tuple(a for a in shipped.assumptions if a.id != "launch_ceiling")
    finding = one(shipped.model_copy(update={"assumptions": kept}), "adoption_scope")
    assert finding.status == "ambiguous"
    assert "from" not in finding.found


def test_actions_within_the_whole_do_not_overlap(shipped: Ledger) -> None:
    """Smaller actions leave room for patients with none."""
    smaller = {f"line_use_{line}_2025": {"low": 0.05, "high": 0.1} for line in ("toxin", "acute")}
    assert one(changed(shipped, smaller), "treatment_action_overlap").status == "agrees"


@pytest.mark.parametrize(
    ("quantity", "name", "value"),
    [("adoption_payer_direction", "adoption_payer_direction_united_states", -1.0),
     ("pipeline_stage_direction", "pipeline_stage_contents", -1.0)],
)  # fmt: skip
def test_contradictions_end_when_the_signs_agree(shipped: Ledger, quantity: str, name: str, value: float) -> None:
    """Equal signs are no finding."""
    assert one(shipped, f"{quantity}_contradiction").status == "ambiguous"
    assert not findings(changed(shipped, {name: {"value": value}}), f"{quantity}_contradiction")


def test_directions_of_different_regions_do_not_contradict(shipped: Ledger) -> None:
    """Regions may differ; a statement on all of them beside a different regional one contradicts it."""
    assert not findings(shipped, "adoption_direction_contradiction")
    whole = claim(shipped, "adoption_direction_eu5", id="everywhere", region=None, role="context")
    finding = one(changed(shipped, add=(whole,)), "adoption_direction_contradiction")
    assert "adoption_direction_united_states" in finding.claims
    assert "adoption_direction_eu5" not in finding.claims
    assert finding.treatment.startswith("In use: ")


def test_double_counting_is_named(shipped: Ledger) -> None:
    """A total put in evidence beside its parts, and a repeated claim put in use, are told as such."""
    twice = changed(shipped, {"revenue_2035": {"role": "evidence"}})
    assert "twice" in one(twice, "revenue_by_modality", "revenue_2035").treatment
    assert "twice" not in one(shipped, "revenue_by_modality", "revenue_2035").treatment
    again = claim(shipped, "revenue_2030", id="again", value=700.0)
    finding = one(changed(shipped, add=(again,)), "revenue_restated")
    assert finding.status == "differs"
    assert "twice" in finding.treatment


def test_the_claim_in_use_goes_before_one_that_is_compared(shipped: Ledger) -> None:
    """Where two claims share a place, sums take the one in use, whichever stands first."""
    loose = claim(shipped, "revenue_pharmacologic_2025", id="loose", value=300.0, role="check")
    ledger = changed(shipped, add=(loose,))
    ledger = ledger.model_copy(update={"claims": ledger.claims[::-1]})
    assert "loose" not in one(ledger, "revenue_by_modality", "revenue_2025").claims
    assert one(ledger, "revenue_restated").status == "differs"


# ---- any ledger ----------------------------------------------------------------------------------


@pytest.mark.fit
def test_missing_claims_leave_checks_out(shipped: Ledger) -> None:
    """No claim, quantity or year is needed: the rest is audited and nothing fails."""
    everything = {f.check for f in audit(shipped)}
    for c in shipped.claims:
        audit(shipped.model_copy(update={"claims": tuple(other for other in shipped.claims if other is not c)}))
    for quantity in {c.quantity for c in shipped.claims}:
        assert {f.check for f in audit(without(shipped, quantity))} <= everything
    for year in shipped.report.anchors:
        audit(shipped.model_copy(update={"claims": tuple(c for c in shipped.claims if c.year != year)}))
    assert audit(shipped.model_copy(update={"claims": ()})) == ()
    gone = {f.check for f in audit(without(shipped, "patients"))}
    assert everything - gone >= {"patients_by_region", "region_premium", "spend_per_adopter"}


def other_market() -> Ledger:
    """A small market with other names, years and units of evidence, and none of the optional claims."""
    rows = [
        {"id": "n", "quantity": "patients", "year": 2024, "value": 3000, "unit": "patients", "role": "check"},
        {"id": "n_a", "quantity": "patients", "year": 2024, "region": "A", "value": 1000, "unit": "patients"},
        {"id": "n_b", "quantity": "patients", "year": 2024, "region": "B", "value": 2000, "unit": "patients"},
        {"id": "d", "quantity": "depth_share", "year": 2024, "depth": "any", "value": 1.0, "unit": "fraction"},
        {"id": "u24", "quantity": "adoption", "year": 2024, "modality": "app", "value": 0.1, "unit": "fraction"},
        {"id": "u28", "quantity": "adoption", "year": 2028, "modality": "app", "value": 0.2, "unit": "fraction"},
        {"id": "t24", "quantity": "revenue", "year": 2024, "value": 10.5, "unit": "USD million", "role": "evidence"},
        {"id": "a24", "quantity": "revenue", "year": 2024, "modality": "app", "value": 1.5, "unit": "USD million",
         "role": "evidence"},
        {"id": "a28", "quantity": "revenue", "year": 2028, "modality": "app", "value": 6.0, "unit": "USD million",
         "role": "evidence"},
        {"id": "s_a", "quantity": "revenue_share", "year": 2024, "region": "A", "value": 0.5, "unit": "fraction",
         "role": "check"},
        {"id": "g", "quantity": "growth_rate", "modality": "app", "value": 0.414, "unit": "fraction per year",
         "role": "check"},
    ]  # fmt: skip
    return Ledger.model_validate(
        {
            "report": {
                "id": "r", "title": "t", "vendor": "v", "currency": "EUR",
                "first_year": 2024, "last_year": 2028, "anchors": (2024, 2028),
            },
            "regions": [{"name": "A"}, {"name": "B"}],
            "depths": [{"name": "any"}],
            "modalities": [{"name": "app", "uptake": "adoption"}, {"name": "pill", "uptake": "everyone"}],
            "claims": [{"role": "prior", "quote": "said", "reason": "why", **row} for row in rows],
            "assumptions": [{"id": "x", "value": 1.0, "unit": "log", "source": "assumption", "reason": "why"}],
            "trust": [{"level": "default", "base_log_sd": 0.1, "final_log_sd": 0.2, "source": "s", "reason": "why"}],
        }
    )  # fmt: skip


def test_another_market() -> None:
    """Names, years and figures come from the ledger alone."""
    ledger = other_market()
    found = {f.check: f for f in audit(ledger)}
    assert found["patients_by_region"].status == "agrees"
    assert found["revenue_by_modality"].status == "derived"
    assert "leaves 9 USD million" in found["revenue_by_modality"].found
    assert found["growth_rate"].status == "agrees"  # 1.5 to 6 in four years: the fourth root of 4
    assert found["spend_per_adopter"].found.startswith("EUR 5,000 in 2024, 10,000 in 2028")
    assert found["spend_per_patient"].found.startswith("EUR 3,000 in 2024")
    assert found["region_premium"].status == "derived"
    assert "spend per patient 2.00 times" in found["region_premium"].found
    shares = {"patients_by_region", "revenue_by_modality", "depth_share_by_depth", "growth_rate"}
    assert set(found) == shares | {"spend_per_adopter", "spend_per_patient", "region_premium"}


def test_no_number_or_name_of_the_market_in_the_code(shipped: Ledger) -> None:
    """The code holds numbers of arithmetic only, and no label of a segment."""
    (folder,) = postcgrp.priors.audit.__path__
    trees = [ast.parse(path.read_text()) for path in Path(folder).glob("*.py")]
    assert len(trees) > 1
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert {n for n in constants if isinstance(n, int | float)} <= NUMBERS_OF_ARITHMETIC | {IMPLAUSIBLE}
    labels = [s.name for s in (*shipped.regions, *shipped.modalities)]
    assert not [text for text in constants if isinstance(text, str) for label in labels if label in text]


def with_price(ledger: Ledger, low: float, high: float) -> Ledger:
    """The ledger with one price range for every modality."""
    unit = f"{ledger.report.currency} per patient-year"
    row = {"id": "price", "low": low, "high": high, "unit": unit, "source": "assumption", "reason": "why"}
    return Ledger.model_validate(ledger.model_dump() | {"assumptions": [row]})


def scaled(ledger: Ledger, quantity: str, factor: float) -> Ledger:
    """The ledger with every number on a quantity multiplied, as where another unit was meant."""
    claims = [c.model_dump() for c in ledger.claims]
    for row in claims:
        if row["quantity"] == quantity:
            row |= {k: row[k] * factor for k in ("value", "low", "high") if row[k] is not None}
    return Ledger.model_validate(ledger.model_dump() | {"claims": claims})


@pytest.mark.parametrize(
    ("quantity", "factor", "likely"),
    [
        ("revenue", 1e-3, "too low by a factor of about .*: revenue in billions under 'EUR million'"),
        (
            "revenue",
            1e3,
            "too high by a factor of about .*: patients in thousands .* or revenue in thousands",
        ),
        ("revenue", 1e6, "too high by a factor of about .*: .* or revenue in EUR under 'EUR million'"),
        ("patients", 1e-3, "too high by a factor of about .*: patients in thousands under 'patients'"),
        ("patients", 1e-6, "too high by a factor of about .*: patients in millions under 'patients'"),
    ],
)
@pytest.mark.parametrize("parts", [True, False])
def test_a_slip_of_units_is_named(quantity: str, factor: float, likely: str, parts: bool) -> None:
    ledger = with_price(other_market(), 2000.0, 7000.0)
    if not parts:
        ledger = ledger.model_copy(update={"claims": tuple(c for c in ledger.claims if c.id not in ("a24", "a28"))})
    assert not slips(ledger)
    slipped = slips(scaled(ledger, quantity, factor))
    assert slipped
    assert all(re.search(likely, line) for line in slipped), slipped


@pytest.mark.parametrize(
    ("row", "numbers", "likely"),
    [
        ("line_list_price", (6.0, 8.0), "too low by a factor of about .*: in thousands"),
        ("line_list_price", (6e6, 8e6), "too high by a factor of about .*: in thousands"),
        ("line_exclusivity_year", (203.1, 203.4), "lies between 1975 and 2085 .*: write a calendar year"),
        ("line_exclusivity_speed", (24.0, 60.0), "lies between 0 and 50 .*: write years, not months"),
        ("line_drift", (8.0, 15.0), r"lies between -7.8\d* and 7.8\d* .*: write a difference of log odds"),
        ("launch_year", (28.0, 33.0), "write a calendar year"),
    ],
)
def test_a_slip_in_a_row_of_lines_or_launches_is_named_once(
    ledger: Ledger, row: str, numbers: tuple[float, float], likely: str
) -> None:
    assert not slips(ledger)
    line = "cgrp_antibody" if row.startswith("line_") else None
    change = {"id": row, "line": line, "low": numbers[0], "high": numbers[1], "reason": "r"}
    slipped = slips(
        prior_set(ledger, Overlay.model_validate({"name": "x", "says": "y", "assumption": [change]})).ledger
    )
    of_row = [said for said in slipped if said.startswith(f"{row}[")]  # a price that is off shows in spend too
    assert 1 <= len(of_row) <= 2  # a launch of a modality and one of a line
    assert all(re.search(likely, said) for said in of_row), slipped


def test_revenue_in_another_unit_is_noticed_by_what_lines_cost(ledger: Ledger) -> None:
    found = findings(ledger, "spend_against_price")
    assert [f.found.split(":")[0] for f in found] == ["2025"] * 3
    assert [f.expected.split(":")[0] for f in found] == ["pharmacologic", "non_invasive", "whole market"]
    assert any("revenue in billions" in said for said in slips(scaled(ledger, "revenue", 1e-3)))


def test_a_price_that_the_revenue_contradicts_is_a_finding_and_no_slip() -> None:
    ledger = with_price(other_market(), 20000.0, 40000.0)
    found = findings(ledger, "spend_against_price")
    assert {f.status for f in found} == {"differs"}
    assert not slips(ledger)


def test_patients_without_a_year_are_those_of_the_first_one_beside_a_later_total() -> None:
    """As for the model: a later total is not the count of the years before it."""
    rows = [c.model_dump() | {"year": None if c.quantity == "patients" else c.year} for c in other_market().claims]
    later = rows[0] | {"id": "n28", "year": 2028, "value": 6000.0}
    ledger = Ledger.model_validate(other_market().model_dump() | {"claims": [*rows, later]})
    spend = one(ledger, "spend_per_adopter").found
    assert spend.startswith(
        "EUR 5,000 in 2024, 5,000 in 2028 per user and year at the patients stated for 2024 and 2028"
    )
    assert one(ledger, "patients_by_region", "n").status == "agrees"


def test_a_rate_says_its_span_and_leaves_history_aside() -> None:
    ledger = other_market()
    past = claim(ledger, "a24", id="a20", year=2020, value=0.01, role="context")
    found = one(changed(ledger, add=(past,)), "growth_rate")
    assert found.status == "agrees"
    assert found.found.endswith("41.4 % a year from 2024 to 2028")
    assert "a20" not in found.claims
    alone = changed(ledger, drop=("a28",), add=(past,))
    assert one(alone, "growth_rate").found.endswith("% a year from 2020 to 2024")
