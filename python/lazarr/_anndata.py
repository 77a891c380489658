"""A whole AnnData that is not read yet, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from . import _convert, _html, _index, _lay, _lazarr, _refs, _repr, _to_dask
from ._column import removes_unused
from ._context import call, note_plan
from ._element import Lazy
from ._errors import KeyNotFoundError, inside, misaligned, type_error
from ._frame import Column, DataFrame, trim_frame
from ._kinds import wrap
from ._limits import parse_size
from ._mapping import Mapping, Raw, raw_parts
from ._plan import Plan
from ._progress import watched
from ._vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._store import Store

__all__ = ["AnnData"]

_SWAP = {"obs": "var", "var": "obs", "obsm": "varm", "varm": "obsm", "obsp": "varp", "varp": "obsp"}
_MAPPINGS = ("layers", "obsm", "varm", "obsp", "varp", "uns")


class AnnData(Vectors, Lazy):
    """An annotated matrix in a store. Looking at it and indexing it reads nothing but metadata.

    Indexing takes what anndata takes, on one or two axes, and conditions:
    ``adata[adata.obs["x"] > 3, ["CD3D"]]``.
    :meth:`plan` says what a read would cost, :meth:`to_memory` reads.
    """

    __slots__ = ("_native", "_store", "_transposed", "is_view")
    _native: _lazarr.LazyAnnData
    _store: Store
    _transposed: bool
    is_view: bool

    def __init__(
        self, native: _lazarr.LazyAnnData, store: Store, *, transposed: bool = False, is_view: bool = False
    ) -> None:
        self._set(_native=native, _store=store, _transposed=transposed, is_view=is_view)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._store, self._native.state(), self._transposed, self.is_view)

    def _stored(self, place: str) -> str:
        """The place in the store of a place of this object: obs and var change sides in a transposed one."""
        return _SWAP.get(place, place) if self._transposed else place

    def _axis(self, axis: int) -> int:
        return 1 - axis if self._transposed else axis

    @property
    def shape(self) -> tuple[int | None, int | None]:
        """Cells and genes; None where names or columns must be read to know: see :meth:`resolve`."""
        n, m = self._native.shape
        return (m, n) if self._transposed else (n, m)

    @property
    def n_obs(self) -> int | None:
        """Cells."""
        return self.shape[0]

    @property
    def n_vars(self) -> int | None:
        """Genes."""
        return self.shape[1]

    @property
    def path(self) -> str:
        """Where it is in the store; empty at the root."""
        return self._native.path

    def __len__(self) -> int:
        n = self.n_obs
        if n is None:
            msg = "the number of cells is known only after the selection has been read: adata.resolve()"
            raise type_error(msg)
        return n

    def __iter__(self) -> NoReturn:
        msg = "a lazy AnnData is not read cell by cell: adata.X.iter_rows() gives blocks of rows"
        raise type_error(msg)

    def _places(self) -> list[tuple[str, str]]:
        return [(self._stored(name), kind) for name, kind in self._native.places()]

    def _has(self, place: str) -> bool:
        stored = self._stored(place)
        return any(name == stored and kind != "null" for name, kind in self._native.places())

    def _describe(self) -> tuple[str, str]:
        obs, var = self._native.describe_selection()
        return (var, obs) if self._transposed else (obs, var)

    def _keys(self, place: str) -> list[str]:
        return self._native.keys(self._stored(place)) if self._has(place) else []

    def _unlisted(self, place: str) -> bool:
        path = self._native.path
        stored = self._stored(place)
        return self._store.unlisted(f"{path}/{stored}" if path else stored)

    def _get(self, place: str, name: str) -> Any:
        # Where keys cannot be listed, the store is asked for the one name.
        if name not in (names := self._keys(place)) and not self._unlisted(place):
            msg = f"there is no {name!r} in {place}: it has {', '.join(map(repr, names)) or 'nothing'}"
            raise KeyNotFoundError(msg, code="LZ0501", element=place, found=name)
        native = self._native.get(f"{self._stored(place)}/{name}")
        trim = self.is_view and place in {"obsm", "varm"}
        return wrap(native, self._store, transposed=self._transposed and place == "layers", trim=trim)

    @property
    def X(self) -> Any:
        """The matrix, or None."""
        if not self._has("X"):
            return None
        return wrap(self._native.get("X"), self._store, transposed=self._transposed)

    def _table(self, place: str) -> Any:
        return wrap(self._native.get(self._stored(place)), self._store, text_index=True, trim=self.is_view)

    @property
    def obs(self) -> DataFrame:
        """The table of the cells."""
        table: DataFrame = self._table("obs")
        return table

    @property
    def var(self) -> DataFrame:
        """The table of the genes."""
        table: DataFrame = self._table("var")
        return table

    @property
    def obs_names(self) -> Column:
        """The names of the cells."""
        return self.obs.index

    @property
    def var_names(self) -> Column:
        """The names of the genes."""
        return self.var.index

    def _mapping(self, place: str) -> Mapping:
        return Mapping(None, self._store, parent=self, place=place)

    @property
    def layers(self) -> Mapping:
        """Matrices of the shape of X."""
        return self._mapping("layers")

    @property
    def obsm(self) -> Mapping:
        """Arrays beside the cells."""
        return self._mapping("obsm")

    @property
    def varm(self) -> Mapping:
        """Arrays beside the genes."""
        return self._mapping("varm")

    @property
    def obsp(self) -> Mapping:
        """Matrices of cells by cells."""
        return self._mapping("obsp")

    @property
    def varp(self) -> Mapping:
        """Matrices of genes by genes."""
        return self._mapping("varp")

    @property
    def uns(self) -> Mapping:
        """Everything that has no axis."""
        return self._mapping("uns")

    @property
    def raw(self) -> Raw | None:
        """The matrix before genes were chosen, or None. A transposed object has none, as in anndata."""
        if self._transposed or not self._has("raw"):
            return None
        native = self._native.get("raw")
        if native.kind == "raw":
            return Raw(native, self._store, parent=self)
        broken: Raw = wrap(native, self._store)
        return broken

    @property
    def T(self) -> Self:
        """The transposed view: cells and genes change sides."""
        return type(self)(self._native, self._store, transposed=not self._transposed, is_view=self.is_view)

    def __getitem__(self, index: Any) -> Any:
        """A view of cells and genes; or the element that a reference of anndata's names, A.X[:, "CD3D"]."""
        if _refs.is_reference(index):
            return _refs.resolve(self, index)
        native = self._native
        for axis, item in enumerate(_index.unpack(index, 2)):
            if not (isinstance(item, slice) and item == slice(None)):
                native = _index.select(native, self._axis(axis), item)
        return type(self)(native, self._store, transposed=self._transposed, is_view=True)

    def _instead(self, name: str) -> str | None:
        if name == "X":
            return "with_X(…)"
        return f"with_{name}(…)" if name in {"obs", "var", *_MAPPINGS} else None

    def with_X(self, value: Any) -> Self:
        """The object with this matrix as X; see :meth:`with_obs`."""
        return self._lay("X", {"": value}, {})

    def with_obs(self, values: Any = None, /, **columns: Any) -> Self:
        """The object with columns laid over obs: ``adata.with_obs(score=scores)``.

        The values are copied and held in memory; the store is not changed, and this object neither. Views,
        conditions, plans and all that reads take them as columns like others; plans show them as in memory.

        Parameters
        ----------
        values
            A mapping of names to values, or a table: for names that are no identifiers.
        columns
            One value for each cell of this (view of the) object: arrays, lists, or one value for all.
            A Series is brought in the order of the names, which are read for it; where it lacks one it is
            refused.

        Returns
        -------
        AnnData
            A new object. Where the selection of this one is not known yet, what it needs is read.
        """
        return self._lay("obs", values, columns)

    def with_var(self, values: Any = None, /, **columns: Any) -> Self:
        """The object with columns laid over var; see :meth:`with_obs`."""
        return self._lay("var", values, columns)

    def with_layers(self, values: Any = None, /, **layers: Any) -> Self:
        """The object with matrices of its shape laid over layers; see :meth:`with_obs`."""
        return self._lay("layers", values, layers)

    def with_obsm(self, values: Any = None, /, **arrays: Any) -> Self:
        """The object with arrays or tables laid over obsm: a row for each cell; see :meth:`with_obs`."""
        return self._lay("obsm", values, arrays)

    def with_varm(self, values: Any = None, /, **arrays: Any) -> Self:
        """The object with arrays or tables laid over varm: a row for each gene; see :meth:`with_obs`."""
        return self._lay("varm", values, arrays)

    def with_obsp(self, values: Any = None, /, **matrices: Any) -> Self:
        """The object with matrices of cells by cells laid over obsp; see :meth:`with_obs`."""
        return self._lay("obsp", values, matrices)

    def with_varp(self, values: Any = None, /, **matrices: Any) -> Self:
        """The object with matrices of genes by genes laid over varp; see :meth:`with_obs`."""
        return self._lay("varp", values, matrices)

    def with_uns(self, values: Any = None, /, **items: Any) -> Self:
        """The object with mappings, arrays, tables, text, numbers laid over uns; see :meth:`with_obs`."""
        return self._lay("uns", values, items)

    def _lay(self, place: str, values: Any, named: dict[str, Any]) -> Self:
        return _lay.lay(self, place, values, named)

    def resolve(self) -> Self:
        """Reads what the selection needs (names, columns of conditions), so that the shape is known."""
        self._native.resolve(*call())
        return self

    def _chosen(self, elements: Sequence[str] | None) -> list[str] | None:
        if elements is None:
            return None
        if isinstance(elements, str):
            elements = [elements]
        parts = [str(path).partition("/") for path in elements]
        return [self._stored(place) + slash + rest for place, slash, rest in parts]

    def plan(
        self,
        elements: Sequence[str] | None = None,
        *,
        resolve: bool = False,
        verb: str = "to_memory",
        obs: Iterable[str] | None = None,
        var: Iterable[str] | None = None,
    ) -> Plan:
        """What :meth:`to_memory` would cost, or calling another verb.

        Parameters
        ----------
        elements
            What to read, by path: ``["X", "obs/batch", "obsm"]``. None is everything; names are always read.
        resolve
            Whether to read what is small and makes the numbers exact; else nothing is read.
        verb
            ``"to_memory"``, or ``"to_dask"``: what is read when it is called, with its columns of `obs` and
            `var`. What computing costs then, an array says: ``adata.to_dask().X.plan()``.
        obs, var
            Of ``"to_dask"``.
        """
        if verb == "to_dask":
            return _to_dask.plan_to_dask(self, obs, var, resolve=resolve)
        if verb != "to_memory":
            msg = f"a plan is made for verb='to_memory' or verb='to_dask', not {verb!r}"
            raise type_error(msg)
        plan = Plan(*self._native.plan(self._chosen(elements), resolve, *call()))
        note_plan(plan)
        return plan

    def _collect_places(
        self, elements: Sequence[str] | None, skip_broken: bool = False, *, nameless: bool = False
    ) -> dict[str, Any]:
        """What was read, by place, with obs and var where it has them; `nameless`: rows are numbered."""
        chosen, limits = self._chosen(elements), call()
        meter = limits[2] or self._store.session.meter
        with watched(self.path, meter, lambda: Plan(*self._native.plan(chosen, False, *limits)).chunks.value):
            _, parts = self._native.collect(chosen, *limits, skip_broken, nameless)
        lengths = dict(zip(("obs", "var"), self._native.stored_shape, strict=True))
        out: dict[str, Any] = {}
        for stored, value in parts:
            place = self._stored(stored)
            with inside(f"{self.path}/{stored}" if self.path else stored):
                if place in {"obs", "var"} and value is not None and value[0] == "table":
                    out[place] = _convert.frame(value, text_index=True, cut=bool(lengths[stored]))
                elif place == "raw" and value is not None and value[0] == "map":
                    out[place] = raw_parts(dict(value[1]))
                else:
                    axis = stored[:3]
                    out[place] = _convert.convert(value, cut=bool(lengths.get(axis)))
                    if skip_broken and place in _MAPPINGS and place != "uns":
                        out[place] = {k: v for k, v in (out[place] or {}).items() if v is not None}
                if place == "uns":
                    _convert.objects(self._native.get("uns"), out[place])
        if self._transposed:
            out.pop("raw", None)
            if out.get("X") is not None:
                out["X"] = out["X"].T
            if out.get("layers"):
                out["layers"] = {k: v.T for k, v in out["layers"].items()}
        return out

    def to_memory(
        self,
        elements: Sequence[str] | None = None,
        *,
        remove_unused_categories: bool | None = None,
        skip_broken: bool = False,
    ) -> Any:
        """Reads it: an anndata.AnnData.

        Parameters
        ----------
        elements
            What to read, by path: ``["X", "obs/batch", "obsm"]``. None is everything; names are always read.
        remove_unused_categories
            Of a view, whether categories that no row has are left out, with their colours.
            None is anndata's setting.
        skip_broken
            Leave out elements that cannot be read (an unknown encoding, say), instead of raising their error.
            The plan names them.
        """
        ad = _convert.anndata()
        parts = self._collect_places(elements, skip_broken)
        self._trim_parts(parts, remove_unused_categories)
        self._check_tables(parts)
        known = {"X", "obs", "var", "raw", *_MAPPINGS}
        return ad.AnnData(**{k: v for k, v in parts.items() if k in known and v is not None})

    def to_dask(
        self,
        *,
        chunk_bytes: int | str | None = None,
        obs: Iterable[str] | None = None,
        var: Iterable[str] | None = None,
        load_annotation_index: bool = True,
    ) -> Any:
        """An anndata.AnnData whose matrices are arrays of Dask over the store, for scanpy and for a cluster.

        X, layers, obsm, varm, obsp, varp and raw.X are cut into blocks of rows, each as wide as the matrix;
        what is sparse is a csr_matrix. obs, var, uns and tables are read now, and so are the row starts of
        csr matrices, by which blocks are cut: ``adata.plan(verb="to_dask")`` says what that costs. Only the
        selected cells and genes are read, when something is computed.

        Parameters
        ----------
        chunk_bytes
            Bytes of a block, at most (``"64MB"``), but a chunk at least. Default: an eighth of the memory
            limit for each thread, up to 128 MiB.
        obs, var
            The columns to read. None is all.
        load_annotation_index
            False: do not read the names; they are 0, 1, 2, …
        """
        size = None if chunk_bytes is None else parse_size(chunk_bytes, "chunk_bytes")
        return _to_dask.to_dask(self, size, obs, var, load_annotation_index=load_annotation_index)

    def _trim_parts(self, parts: dict[str, Any], remove_unused_categories: bool | None) -> None:
        """In a view, leaves out categories that no row has."""
        trim = removes_unused() if remove_unused_categories is None else remove_unused_categories
        if not (trim and self.is_view):
            return
        uns = parts.get("uns")
        for place in ("obs", "var"):
            trim_with_colors(parts[place], uns if isinstance(uns, dict) else {})
        for place in ("obsm", "varm"):
            for value in (parts.get(place) or {}).values():
                if hasattr(value, "columns"):
                    trim_frame(value)

    def _check_tables(self, parts: dict[str, Any]) -> None:
        """A table beside the cells (or genes) has their names, in their order; anndata asks for it."""
        for place, axis in (("obsm", "obs"), ("varm", "var")):
            for name, table in (parts.get(place) or {}).items():
                if not hasattr(table, "columns") or not hasattr(table, "index"):
                    continue
                ours, theirs = parts[axis].index, table.index
                if not theirs.equals(ours):
                    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
                    raise misaligned(
                        f"{self._stored(place)}/{name}",
                        f"the names of its rows are not those of {self._stored(axis)}",
                        f"{ours[at]!r} at row {at}" if len(ours) > at else "no row",
                        f"{theirs[at]!r}" if len(theirs) > at else "no row",
                    )

    def __repr__(self) -> str:
        return _repr.anndata(self)

    def _repr_html_(self) -> str:
        return _html.anndata(self)


def trim_with_colors(df: Any, uns: dict[str, Any]) -> None:
    """Leaves out categories that no row has, and their colours: what anndata does with a view."""
    pd = _convert.pandas()
    for name in df.columns:
        if not isinstance(df[name].dtype, pd.CategoricalDtype):
            continue
        before = df[name].cat.categories
        df[name] = df[name].cat.remove_unused_categories()
        key = f"{name}_colors"
        if key not in uns:
            continue
        colors = np.array(uns[key])
        if colors.ndim == 0:
            uns[key] = colors[None]
        elif len(colors) != len(before):
            del uns[key]
        else:
            uns[key] = colors[before.isin(df[name].cat.categories)]


def _restore(store: Store, state: str, transposed: bool, is_view: bool) -> AnnData:
    native = _lazarr.LazyAnnData.from_state(store.session, state)
    return AnnData(native, store, transposed=transposed, is_view=is_view)
