"""Sphinx's settings. `sphinx-build -W --keep-going -n docs SITE` builds the site, and fetches nothing."""

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]                              # this clone, whatever is installed
os.environ["COLUMNS"] = "110"                                             # of what --help prints

import api_pages  # noqa: E402
from docutils.nodes import Element, Node, literal  # noqa: E402
from sphinx.addnodes import pending_xref  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.environment import BuildEnvironment  # noqa: E402

import bnnsim  # noqa: E402

project, author, copyright = "bnnsim", "The bnnsim developers", "the bnnsim developers, MIT licence"
version = release = bnnsim.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
templates_path, exclude_patterns = ["templates"], ["templates", "_build"]
default_role = "py:obj"                                                   # `name`: a link where bnnsim has it
autodoc_typehints, autodoc_preserve_defaults = "none", True               # types, with shapes, are in the docstrings
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
html_theme, html_title = "alabaster", f"bnnsim {release}"
html_theme_options = {"description": bnnsim.__doc__.partition("\n")[0], "page_width": "1180px",
                      "sidebar_width": "220px", "body_max_width": "100%", "font_family": "sans-serif",
                      "code_font_size": "0.72em", "fixed_sidebar": True}
html_static_path, html_css_files = ["static"], ["bnnsim.css"]
highlight_language = "none"                                               # of what commands print
html_show_sourcelink = html_copy_source = False

api_pages.write(HERE / "api")
autosummary_generate = sorted(map(str, (HERE / "api").glob("*.rst")))


def make_readable(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """What docstrings leave to a reader in Python."""
    lines[:] = api_pages.readable(what, lines)


def plain_signature(app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None,
                    result: str | None) -> tuple[str, None] | None:
    """A protocol is not called; what inherits from one and has no arguments shows none; a default may be made anew."""
    if what == "class" and signature == "(*args, **kwargs)":
        return ("" if getattr(thing, "_is_protocol", False) else "()"), None
    return (signature.replace("<factory>", "..."), None) if signature else None


def find_elsewhere(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: Element) -> Node | None:
    """A name in backticks that is not of this module: the only one of bnnsim that ends so, else plain text."""
    if node.get("reftype") != "obj":
        return None
    target = node["reftarget"].removeprefix("bnnsim.").removesuffix("()")
    domain = env.get_domain("py")
    found = {entry.node_id: (name, entry) for name, entry in domain.objects.items()
             if name.endswith(f".{target}") and entry.objtype != "module"}
    if len(found) != 1:
        return literal("", shown.astext())
    (name, _), = found.values()
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, shown)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", make_readable)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("missing-reference", find_elsewhere)
