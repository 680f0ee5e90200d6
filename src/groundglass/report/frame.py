"""What all pages have in common: head, brand, what to read first, footer (``base.html``), and how they are kept safe.

Everything that a file or a caller named is escaped; a content security policy forbids scripts and any address.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from groundglass.labels import COLOUR_OF_CODE

RESEARCH: Final = "For research; not a diagnosis."


def page(name: str, *, version: str, notices: Sequence[str] = (), sheets: Sequence[str] = (), **told: Any) -> str:
    """A page as HTML, in one piece: it loads nothing and runs nothing.

    Args:
        name: of the template beside this file; it extends ``base.html``.
        version: of groundglass, that made what is told.
        notices: what is to be read first.
        sheets: style sheets of its own, after the common one.
        told: what the template takes.
    """
    styles = (_template(sheet).render(colours=COLOUR_OF_CODE, research=RESEARCH) for sheet in ("page.css", *sheets))
    style = "\n".join(styles)
    return _template(name).render(
        policy=_content_security_policy(style),
        # ours alone: nothing that a file or a caller named reaches the style
        style=Markup(style),  # noqa: S704
        research=RESEARCH,
        version=version,
        notices=notices,
        **told,
    )


def _content_security_policy(style: str) -> str:
    """Nothing but ``data:`` images and this very style."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _template(name: str) -> jinja2.Template:
    """One of the templates beside this file; everything put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
