"""Where releases are kept: a folder, or an object store by its fsspec URL (`s3://bucket/releases`).

Credentials and endpoints of an object store come from its own variables (for S3 those of any AWS
tool: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL), never from
the URL.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import fsspec

from training.recommender import ReleaseError


class StoreError(ReleaseError):
    """The store of releases does not answer as it should; one line, without anything secret."""


@contextmanager
def opened(url: str) -> Iterator[tuple[Any, str]]:
    """The filesystem of `url` and the path in it, without a slash at its end.

    Whatever the store answers wrongly in the block is a StoreError. Nothing that it lists is
    remembered: other processes publish and delete.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        yield filesystem, root.rstrip("/")
    except ReleaseError:
        raise
    except Exception as error:  # each kind of store has its own
        raise StoreError(f"releases at {shown(url)}: {reason(error)}") from error


def shown(url: str) -> str:
    """`url` without user, password and query, which may be secret."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def reason(error: Exception) -> str:
    """What the store said, in one line, and where to look."""
    said = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    if isinstance(error, PermissionError):
        return f"access is denied ({said}): check its credentials (AWS_ACCESS_KEY_ID, …)"
    return said
