"""Pages for people, made by Jinja2 around one style, with pictures drawn by matplotlib.

A page is one file that needs no network: its style and its pictures are inside it. Templates are no
Python, so how a page looks is never taken for changed code (docs/adr/0015).
"""

import base64
import io
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render(package: str, template: str, **content: Any) -> str:
    """What `templates/<template>` of `package` makes of `content`.

    Templates extend `page.html`, which stands in `base/templates`. Text is escaped. Raises
    jinja2.UndefinedError for a name that a template uses and `content` lacks.
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
    """A picture as the address that an `img` takes, so that no second file is needed."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def png(figure: "Figure") -> bytes:
    """A figure as PNG; equal figures give equal bytes."""
    written = io.BytesIO()
    figure.savefig(written, dpi=110, metadata={"Software": ""})
    return written.getvalue()
