"""HTML pages for people, made by Jinja2 in one style, with pictures drawn by matplotlib.

A page is one file that needs no network, because its style and pictures are inside it. Templates
are not Python, so a change in how a page looks does not count as changed code (docs/adr/0015).
"""

import base64
import io
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render(package: str, template: str, **content: Any) -> str:
    """The HTML of `templates/<template>` of `package`, filled with `content`.

    Templates extend `page.html` in `base/templates`. Text is escaped. Raises jinja2.UndefinedError
    if a template uses a name that `content` does not have.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("base")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = inline
    return environment.get_template(template).render(content)


def inline(png: bytes) -> str:
    """A picture as a data URL for an `img` tag, so that the page needs no second file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def png(figure: "Figure") -> bytes:
    """A figure as PNG. Equal figures give equal bytes."""
    written = io.BytesIO()
    figure.savefig(written, dpi=110, metadata={"Software": ""})
    return written.getvalue()
