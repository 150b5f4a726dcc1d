"""Every public name is documented the numpydoc way: what it takes, gives and raises.

Checked on the imported objects, so that dataclasses are judged by the signature they really have.
"""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import actprobe

# Existence, sections in order, a summary, and parameters and returns that match the signature.
CHECKS = frozenset(
    {
        "GL03",
        "GL06",
        "GL07",
        "GL08",
        "SS01",
        "PR01",
        "PR02",
        "PR03",
        "PR04",
        "PR07",
        "PR10",
        "RT01",
        "RT03",
        "YD01",
    }
)

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(actprobe.__path__, "actprobe.") if not module.ispkg
)


def inherits(method: object) -> bool:
    """Whether a method says nothing of its own because what it overrides says it (the base is checked)."""
    return not method.__doc__ and bool(inspect.getdoc(method))


def public_objects(module_name: str) -> list[str]:
    module = importlib.import_module(module_name)
    found = []
    for name in getattr(module, "__all__", ()):
        item = inspect.getattr_static(module, name, None)
        if not (inspect.isclass(item) or inspect.isfunction(item)) or item.__module__ != module_name:
            continue
        found.append(f"{module_name}.{name}")
        if inspect.isclass(item):
            found += [
                f"{module_name}.{name}.{member}"
                for member, value in vars(item).items()
                if not member.startswith("_") and inspect.isfunction(value) and not inherits(value)
            ]
    return found


OBJECTS = [name for module in MODULES for name in public_objects(module)]


def test_the_house_is_walked() -> None:
    assert {"actprobe.models.registry.load_model", "actprobe.audio.decode.load_audio"} <= set(OBJECTS)
    assert len(OBJECTS) > 50


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring(name: str) -> None:
    faults = [f"{code}: {text}" for code, text in validate(name)["errors"] if code in CHECKS]
    assert not faults


@pytest.mark.parametrize("module", MODULES)
def test_module_says_what_it_is_for(module: str) -> None:
    assert (importlib.import_module(module).__doc__ or "").strip()
