"""A validation error is one line: the place by names, the value, the rule, the way out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from postcgrp.priors.messages import faults_in_words


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Tier(Strict):
    name: str = ""
    rate: float

    @model_validator(mode="after")
    def _positive(self) -> Tier:
        if self.rate < 0:
            raise ValueError(f" has a rate of {self.rate:g}: make it positive")
        if self.rate > 1:
            raise ValueError("a rate is above 1: lower it")
        return self


class Terms(Strict):
    tiers: tuple[Tier, ...] = Field(default=(), alias="tier")


class Contract(Strict):
    name: str
    terms: Terms
    regions: tuple[str, ...] = Field(default=("all",), min_length=1)


def lines(content: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Contract.model_validate(content)
    faults = faults_in_words(caught.value, Contract, content, guide="docs/x.md", tables={"regions": "region"})
    return [fault.text for fault in faults]


def terms(*tiers: Any) -> dict[str, Any]:
    return {"name": "n", "terms": {"tier": tiers}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"terms": {}}, "name is missing: add it (docs/x.md)"),
        ({"nmae": "n", "terms": {}}, "nmae is not known: write 'name'"),  # and not that `name` is missing
        ({"name": "n", "terms": {}, "zoo": 1}, "zoo is not known: use one of name, terms, region"),
        ({"name": "n", "terms": {"a\nb": 1}}, "terms.a b is not known: use one of tier"),
        ({"name": 3, "terms": {}}, "name = 3 is not text: write it in quotes ('3')"),
        ({"name": "n", "terms": 3}, "terms = 3 is not a table: write it as [terms]"),
        ({"name": "n", "terms": {}, "regions": ()}, "region = () is too short: give at least 1, or leave it out"),
        ({"name": "n", "terms": {"tier": 3}}, "terms.tier = 3 is not a table: write it as [[terms.tier]]"),
        (terms({"rate": 0.1}, 3), "terms.tier[2] = 3 is not a table: write it as [[terms.tier]]"),
        (terms({"rate": 0.1}, {"rate": "0.2"}), "terms.tier[2].rate = '0.2' is not a number: write it as a number"),
        (terms({"name": "first\nline", "rate": None}), "terms.tier.first line.rate = None is not a number"),
        (terms({"name": "low", "rate": -1.0}), "terms.tier.low has a rate of -1: make it positive"),
        (terms({"name": "low", "rate": 2.0}), "a rate is above 1: lower it"),
    ],
)
def test_an_error_in_words(content: dict[str, Any], words: str) -> None:
    (said,) = lines(content)
    assert said.startswith(words)
    assert "\n" not in said
