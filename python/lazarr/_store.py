"""An open store, as Python keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _lazarr
from ._context import call

if TYPE_CHECKING:
    from ._bridge import Bridged

__all__ = ["Store"]


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

    def unlisted(self, path: str) -> bool:
        """Whether the keys of this mapping are not all known, because the store cannot list them."""
        return self.session.is_unlisted(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.bridged or self.session.url, *self.args)
