"""An open store, as Python keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _lazarr
from ._context import call

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._bridge import Bridged

__all__ = ["Composite", "Store"]


HARMLESS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "aws_", "google_", "azure_", "azure_storage_")
    for name in (
        "account_name",
        "allow_http",
        "allow_invalid_certificates",
        "allow_redirects",
        "bandwidth",
        "cache_bytes",
        "cache_dir",
        "connect_timeout",
        "default_region",
        "http1_only",
        "latency",
        "max_retries",
        "read_timeout",
        "region",
        "request_payer",
        "retry_timeout",
        "skip_signature",
        "slots",
        "timeout",
        "use_emulator",
        "user_agent",
        "virtual_hosted_style_request",
    )
)
"""Storage options that are no secret, and go into a pickle."""


class Store:
    """An open store, and how to open it again elsewhere."""

    __slots__ = ("args", "bridged", "session")

    def __init__(
        self,
        path: str | Bridged,
        memory_limit: int | None,
        threads: int | None,
        missing: str,
        audit: bool,
        follow_links: bool = False,
        limits: tuple[tuple[str, int], ...] = (),
        names: tuple[str, ...] = (),
        listing: bool = True,
        storage: tuple[tuple[str, str], ...] = (),
        zarr_format: int | None = None,
    ) -> None:
        self.bridged = None if isinstance(path, str) else path
        # A secret does not travel: who opens the store again has credentials of their own.
        plain = tuple((name, value) for name, value in storage if name in HARMLESS)
        self.args = (
            memory_limit,
            threads,
            missing,
            audit,
            follow_links,
            limits,
            names,
            listing,
            plain,
            zarr_format,
        )
        self.session = _lazarr.Session.open(
            path,
            memory_limit,
            threads,
            missing,
            audit,
            call()[2],
            follow_links,
            limits,
            names,
            listing,
            storage,
            zarr_format,
        )

    @property
    def place(self) -> Any:
        """What another process opens."""
        return self.bridged or self.session.url

    def urls(self) -> list[str]:
        """The stores that it is made of."""
        return [self.session.url]

    def of(self, native: _lazarr.Lazy) -> Store:
        """The store that an element is read from, where that is less than this."""
        del native
        return self

    def unlisted(self, path: str) -> bool:
        """Whether the keys of this mapping are not all known, because the store cannot list them."""
        return self.session.is_unlisted(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.bridged or self.session.url, *self.args)


class Composite(Store):
    """Stores that were joined, and values that were laid over them."""

    __slots__ = ("make", "rest", "under")

    def __init__(
        self,
        under: tuple[Store, ...],
        make: Callable[..., _lazarr.Session],
        rest: tuple[Any, ...],
        session: _lazarr.Session | None = None,
    ) -> None:
        self.under, self.make, self.rest = under, make, rest
        self.args, self.bridged = under[0].args, None
        self.session = make(under, *rest) if session is None else session

    @property
    def place(self) -> Any:
        """What another process makes anew."""
        from ._reader import Place, Reader

        return Place(self.session.identity, tuple(map(Reader.of, self.under)), self.make, self.rest)

    def urls(self) -> list[str]:
        """The stores that it is made of."""
        return [url for store in self.under for url in store.urls()]

    def of(self, native: _lazarr.Lazy) -> Store:
        """Where values are laid over one store, what is not of these values is read from that store."""
        laid_over = self.make.__module__.endswith("._lay")
        return self.under[0].of(native) if laid_over and not native.has_memory else self

    def __reduce__(self) -> tuple[Any, ...]:
        return Composite, (self.under, self.make, self.rest)
