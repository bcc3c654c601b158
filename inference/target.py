"""A model as a sampler sees it: what its draws look like, and its programs, for which alone it is built."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray

from postcgrp.inference.evaluate import POINTS, chunk_key
from postcgrp.inference.flat import Flat
from postcgrp.inference.numerics import Arrays
from postcgrp.inference.within import draws_within
from postcgrp.models.blueprint import Blueprint

if TYPE_CHECKING:  # imported where a program must be traced
    import pymc as pm

    from postcgrp.inference.density import Density
    from postcgrp.inference.programs import Programs

OUTLINE = "outline.json"


@dataclass(frozen=True)
class Outline:
    """What the draws of a model look like.

    `free`: by free variable, its value variable on the unconstrained scale. `shapes` of the values, in order, and
    `natural` of the variables. `deterministics`: their names. `dims` of every variable that has some. `observed`: by
    observed variable, the data that it observes, "" where that is no `pm.Data` but `fixed`. `constants`: all other
    data. `drawable`: see :func:`postcgrp.inference.forward.drawable`.
    """

    free: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    natural: dict[str, tuple[int, ...]]
    deterministics: tuple[str, ...]
    dims: dict[str, tuple[str, ...]]
    observed: dict[str, str]
    fixed: dict[str, Any]
    constants: tuple[str, ...]
    drawable: bool

    @property
    def flat(self) -> Flat:
        """The layout of the unconstrained free variables in one vector."""
        return Flat(self.shapes)

    @property
    def example(self) -> Arrays:
        """An unconstrained point, for its shapes."""
        return {name: np.zeros(shape) for name, shape in self.shapes.items()}

    @classmethod
    def read(cls, text: str) -> Outline:
        """The inverse of :func:`json.dumps` of its fields."""
        found = json.loads(text)
        for name in ("shapes", "natural", "dims"):
            found[name] = {key: tuple(value) for key, value in found[name].items()}
        for name in ("deterministics", "constants"):
            found[name] = tuple(found[name])
        return cls(**found)


class Target:
    """A PyMC model, or the blueprint of one, with its programs.

    `data`, the values of its `pm.Data`, and `coords`, the labels of its dims. Raises
    :class:`postcgrp.priors.InputError` for a model that cannot be sampled, see
    :func:`postcgrp.inference.density.check_free`.
    """

    def __init__(self, model: pm.Model | Blueprint, programs: Callable[[Arrays], Programs]) -> None:
        self._given = model
        if isinstance(model, Blueprint):
            self.data, self.coords = dict(model.data), model.coords
        else:
            from postcgrp.inference.jaxify import check_precision, model_data

            check_precision(model)
            self.data, self.coords = model_data(model), model.coords
        self.programs = programs(self.data)

    @cached_property
    def model(self) -> pm.Model:
        """The model itself."""
        if not isinstance(self._given, Blueprint):
            return self._given
        from postcgrp.inference.jaxify import check_precision

        built = self._given.build()
        check_precision(built)
        return built

    @cached_property
    def outline(self) -> Outline:
        """What the model's draws look like."""
        return Outline.read(self.programs.text(OUTLINE, lambda: json.dumps(asdict(_outline(self.model)))))

    @cached_property
    def density(self) -> Density:
        """The model's log density."""
        from postcgrp.inference.density import density

        return density(self.model, self.outline.example)

    def observations(self) -> Arrays:
        """What each observed variable observes, by its name."""
        observed, fixed = self.outline.observed, self.outline.fixed
        return {name: np.asarray(self.data[data] if data else fixed[name]) for name, data in observed.items()}

    def constants(self) -> Arrays:
        """The data that are more than what is observed, by name."""
        return {name: self.data[name] for name in self.outline.constants}

    def begin_prior(self) -> None:
        """Start to compile the program of prior draws, if there is one."""
        if self.outline.drawable:
            self.programs.compile("prior", self.trace_prior)

    def prior(self, number: int, seed: int) -> NDArray[np.float64]:
        """Prior draws on the unconstrained scale [number, size]; a larger number begins with those of a smaller.

        Draws where the model's density is zero are replaced, see :func:`draws_within`.
        """
        if not self.outline.drawable:
            from postcgrp.inference.forward import draw_prior

            joined: NDArray[np.float64] = self.outline.flat.join(draw_prior(self.model, number, seed))
            return joined
        program = self.programs.compile("prior", self.trace_prior).result()
        return prior_points(program, self.outline, self.data, number, seed)

    def trace_prior(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The program of prior draws: `POINTS` at a time."""
        from postcgrp.inference.forward import prior_function

        function, shapes = prior_function(self.model, self.outline.natural), self.outline.natural

        def by_value(normals: Arrays, data: Arrays, key: Any) -> dict[str, Any]:
            keys = jax.random.split(jax.random.wrap_key_data(key), POINTS)
            return jax.vmap(function, in_axes=(0, 0, None))(normals, keys, data)

        return by_value, (standard_normals(shapes, 0, 0), self.data, chunk_key(0, 0))

    def trace_unconstrain(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The program from draws of the free variables, flat [`POINTS`, ...], to unconstrained points."""
        from postcgrp.inference.forward import unconstrain_function

        free, flat = Flat(self.outline.natural), self.outline.flat
        function = unconstrain_function(self.model, self.outline.natural)

        def points(values: Any, data: Arrays) -> dict[str, Any]:
            by_value = jax.vmap(function, in_axes=(0, None))(free.split(values), data)
            return {"unconstrained": {"points": flat.join(by_value)}}

        return points, (np.zeros((POINTS, free.size)), self.data)

    def trace_derived(self, keep: Collection[str] | None = None, *, log_prior: bool = True) -> Any:
        """The program of everything derived from draws, see :func:`~postcgrp.inference.density.derived`."""
        from postcgrp.inference.density import derived

        outline = self.outline
        function = derived(self.model, outline.example, keep, log_prior=log_prior, predictive=outline.drawable)

        def everything(points: Any, data: Arrays, key: Any) -> Any:
            keys = jax.random.split(jax.random.wrap_key_data(key), POINTS)
            return jax.vmap(function, in_axes=(0, None, 0))(points, data, keys)

        return everything, (np.zeros((POINTS, outline.flat.size)), self.data, chunk_key(0, 0))


def prior_points(
    program: Callable[..., Any], outline: Outline, data: Arrays, number: int, seed: int
) -> NDArray[np.float64]:
    """Prior draws [number, size] by the program of :meth:`Target.trace_prior`."""

    def chunk(tried: int) -> dict[str, NDArray[Any]]:
        made = program(standard_normals(outline.natural, seed, tried), data, chunk_key(seed, tried))
        return {name: np.asarray(values) for name, values in made.items()}

    points: NDArray[np.float64] = outline.flat.join(draws_within(number, chunk))
    return points


def standard_normals(shapes: Mapping[str, tuple[int, ...]], seed: int, begin: int) -> Arrays:
    """Standard normals [`POINTS`, ...] for each variable, by its name whatever others there are."""
    return {
        name: np.random.default_rng(np.random.SeedSequence([seed, begin], spawn_key=tuple(name.encode())))
        .standard_normal((POINTS, *shape))
        for name, shape in shapes.items()
    }  # fmt: skip


def _outline(model: pm.Model) -> Outline:
    from pymc.backends.arviz import find_constants, find_observations

    from postcgrp.inference.density import check_free
    from postcgrp.inference.forward import drawable, natural_shapes, value_shapes
    from postcgrp.inference.jaxify import model_data

    check_free(model)
    data, natural, seen = model_data(model), natural_shapes(model), find_observations(model)
    observed = {rv.name: model.rvs_to_values[rv].name for rv in model.observed_RVs}
    return Outline(
        free={rv.name: model.rvs_to_values[rv].name for rv in model.free_RVs},
        shapes=value_shapes(model, natural),
        natural=natural,
        deterministics=tuple(each.name for each in model.deterministics),
        dims={name: tuple(map(str, dims)) for name, dims in model.named_vars_to_dims.items()},
        observed={name: of if of in data else "" for name, of in observed.items()},
        fixed={name: np.asarray(seen[name]).tolist() for name, of in observed.items() if of not in data},
        constants=tuple(name for name in find_constants(model) if name in data),
        drawable=drawable(model),
    )
