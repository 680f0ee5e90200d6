"""A string picks a file: no registry, and a wrong name is answered with the nearest right one."""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from groundglass.errors import UsageError


def names(package: str) -> list[str]:
    """What can be picked in a package: its files but those that begin with an underscore, sorted."""
    found = pkgutil.iter_modules(import_module(package).__path__)
    return sorted(entry.name for entry in found if not entry.ispkg and not entry.name.startswith("_"))


def find_module(package: str, name: str) -> ModuleType:
    """The file of that name in a package.

    Args:
        package: such as ``groundglass.methods``.
        name: such as ``mean_teacher``.

    Raises:
        UsageError: no such file; the message names the nearest.
    """
    choices = names(package)
    if name not in choices:
        near = get_close_matches(name, choices, n=1)
        raise UsageError(
            f"There is no {name!r} in {package}.",
            expected=f"one of {', '.join(choices)}",
            remedy=f"Did you mean {near[0]!r}?" if near else "Take one of these.",
        )
    return import_module(f"{package}.{name}")


def find(package: str, name: str) -> type:
    """The class that a file is about: the one of the file's own name (``mean_teacher`` -> ``MeanTeacher``).

    Args:
        package: such as ``groundglass.networks``.
        name: such as ``unet``.

    Raises:
        UsageError: no such file, or none with such a class.
    """
    module = find_module(package, name)
    for attribute, value in vars(module).items():
        if isinstance(value, type) and attribute.lower() == name.replace("_", "").lower():
            return value
    raise UsageError(
        f"The file {name!r} in {package} has no class of its name.",
        expected=f"a class {name.title().replace('_', '')}",
        remedy="Add it, or begin the file's name with an underscore if it is nothing to pick.",
    )
