"""One HTML file of a template, a style sheet and scripts: nothing is loaded from outside, nothing else may run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from postcgrp.priors.audit import Finding
from postcgrp.reports.forecast.numbers import short
from postcgrp.reports.page.content import content, finite_or_none
from postcgrp.reports.runs.run import Run

_PACKAGE = "postcgrp.reports.page"
NEARLY_CERTAIN = 0.995  # probabilities above it would round to 100 %
# In the order of what they need. Each is a module by itself; inlined, they share one scope, so names differ.
SCRIPTS = ("unpack", "stats", "numbers", "draws", "cashflow", "pricing", "svg", "charts", "answer", "deals", "mixture",
           "what_if", "sources", "main")  # fmt: skip
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|const|class|let) )", re.MULTILINE)


def written(
    run: Run,
    tables: Mapping[str, pd.DataFrame],
    findings: Sequence[Finding],
    *,
    deals: Sequence[Mapping[str, Any]] = (),
    compared: Mapping[str, Any] | None = None,
    scenarios: Mapping[str, Any] | None = None,
    market: Mapping[str, Any] | None = None,
) -> str:
    """The page of a run as HTML, from its parts; see :func:`postcgrp.reports.page.content.content`."""
    made = content(run, tables, findings, deals=deals, compared=compared, scenarios=scenarios, market=market)
    return render("page.html.j2", made.said, styles=["page"], data=made.data)


def script(names: Sequence[str] = SCRIPTS) -> str:
    """The modules as one script that keeps its names to itself."""
    return f'(() => {{\n"use strict";\n{joined(names)}\n}})();\n'


def joined(names: Sequence[str]) -> str:
    """Modules one after the other, in one scope: without their imports and exports."""
    texts = [(files(_PACKAGE) / "js" / f"{name}.js").read_text(encoding="utf-8") for name in names]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)


def style(*names: str) -> str:
    """Style sheets, one after the other."""
    return "".join((files(_PACKAGE) / "css" / f"{name}.css").read_text(encoding="utf-8") for name in names)


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The Content-Security-Policy under which exactly these inline scripts and styles run, and nothing is loaded."""

    def hashed(texts: Sequence[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"

    return (
        f"default-src 'none'; script-src {hashed(scripts)}; style-src {hashed(styles)}; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(data: Mapping[str, Any]) -> Markup:
    """Data as JSON that may stand in a script element, whatever text it holds."""
    text = json.dumps(finite_or_none(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  escaped for the element that it stands in


def render(
    template: str, said: Mapping[str, Any], *, styles: Sequence[str], data: Mapping[str, Any] | None = None
) -> str:
    """A template as one HTML file; with `data`, the page's scripts are in it."""
    css = style(*styles)
    code = "" if data is None else script()
    return (
        environment()
        .get_template(template)
        .render(
            **said,
            css=Markup(css),  # noqa: S704  our own files
            code=Markup(code),  # noqa: S704
            data=None if data is None else embedded(data),
            policy=policy([code] if code else [], [css]),
        )
    )


def environment() -> Environment:
    """The template environment, which escapes HTML and raises for missing values."""
    env = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters["money"] = lambda x: "–" if pd.isna(x) else f"{x:,.0f}".replace("-", "−")
    env.filters["signed"] = lambda x: "–" if pd.isna(x) else f"{x:+,.0f}".replace("-", "−")
    env.filters["percent"] = lambda x, digits=0: "–" if pd.isna(x) else f"{100 * x:.{digits}f} %".replace("-", "−")
    env.filters["year"] = lambda x: "–" if pd.isna(x) else str(x)
    env.filters["chance"] = chance
    env.filters["short"] = lambda x: "–" if pd.isna(x) else short(x).replace("-", "−")
    return env


def chance(p: float) -> str:
    """A probability as a reader says it."""
    if p > NEARLY_CERTAIN:
        return "more than 99 %"
    return "less than 1 %" if p < 1 - NEARLY_CERTAIN else f"{100 * p:.0f} %"
