"""The market in some years: patients, who uses what, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytensor.tensor import TensorVariable


@dataclass(frozen=True)
class MarketCells:
    """The market in some years, as one view of launches has it.

    `patients` [year, region, depth]; `use`, a fraction, and `spend`, currency per user-year if nothing but lines and
    segments mattered (:func:`postcgrp.models.intensity.log_spend` comes on top), [year, region, depth, modality], and
    `weights`, users or, where there are none, those who might be; `line_use`, the share of its modality's users, and
    `line_share`, the share of their spend, [line, year, region, depth], None without lines.
    """

    patients: TensorVariable
    use: TensorVariable
    spend: TensorVariable
    weights: TensorVariable
    line_use: TensorVariable | None
    line_share: TensorVariable | None

    @property
    def users(self) -> TensorVariable:
        """Users [year, region, depth, modality]."""
        return self.patients[..., None] * self.use

    def with_relative(self, relative: TensorVariable) -> MarketCells:
        """The same with spend differing by segment as `relative` [region, depth, modality] does, its mean unchanged."""
        average = (self.weights * relative).sum(axis=(1, 2), keepdims=True) / self.weights.sum(
            axis=(1, 2), keepdims=True
        )
        return replace(self, spend=self.spend * relative / average)
