"""The store of releases: a folder, or an object store by its fsspec URL (`s3://bucket/releases`).

Credentials and endpoints of an object store come from the store's own environment variables, never
from the URL. For S3 these are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and
AWS_ENDPOINT_URL, as for any AWS tool.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import fsspec

from training.recommender import ReleaseError


class StoreError(ReleaseError):
    """The store of releases failed. The message is one line without secrets."""


@contextmanager
def opened(url: str) -> Iterator[tuple[Any, str]]:
    """The filesystem of `url`, and the path in it without a final slash.

    Errors of the store in the block become StoreError. Listings are not cached, because other
    processes publish and delete.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        yield filesystem, root.rstrip("/")
    except ReleaseError:
        raise
    except Exception as error:  # each kind of store raises its own errors
        raise StoreError(f"releases at {shown(url)}: {reason(error)}") from error


def shown(url: str) -> str:
    """`url` without user, password and query, which may be secret."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def reason(error: Exception) -> str:
    """The store's message in one line, with advice where to look."""
    said = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    if isinstance(error, PermissionError):
        return f"access is denied ({said}): check its credentials (AWS_ACCESS_KEY_ID, …)"
    return said
