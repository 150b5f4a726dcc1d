"""What is public is documented the numpydoc way: what it takes, gives and raises, with an example.

Public are the names of the package, the errors, and what users derive from. Everything else needs a docstring
that begins with a line of summary. Checked on the imported objects, so that dataclasses are judged by the
signature they really have.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT
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

EXTENSION_POINTS = (
    "actprobe.frontends.FrontEnd",
    "actprobe.frontends.LogMelFrontEnd",
    "actprobe.features.feature",
    "actprobe.frontends.tracks.join_examples",
    "actprobe.models.networks.crepe.pitch_track",
    "actprobe.features.feature_map",
    "actprobe.serving.client.Client",
)
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(actprobe.__path__, "actprobe.") if not module.ispkg
)


def is_documentable(item: object) -> bool:
    return inspect.isclass(item) or inspect.isfunction(item)


def overrides(owner: type, name: str) -> bool:
    """Whether a method needs to say nothing, since what it overrides or implements says it."""
    above = [
        *owner.__mro__[1:],
        *(one for one in protocols() if all(hasattr(owner, m) for m, _ in members(one))),
    ]
    return any(bool(getattr(vars(base).get(name), "__doc__", None)) for base in above)


@cache
def protocols() -> tuple[type, ...]:
    """The protocols of the package, which other classes need not name to implement them."""
    return tuple(
        item
        for module in map(importlib.import_module, MODULES)
        for item in vars(module).values()
        if inspect.isclass(item)
        and item.__module__ == module.__name__
        and getattr(item, "_is_protocol", False)
    )


def members(owner: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that a class has of its own."""
    for name, value in vars(owner).items():
        bare = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not name.startswith("_") and (inspect.isfunction(bare) or isinstance(bare, property)):
            yield name, bare


def resolved(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def face() -> list[str]:
    names = [name for name in actprobe.__all__ if is_documentable(getattr(actprobe, name))]
    errors = importlib.import_module("actprobe.errors")
    return [
        *(f"actprobe.{name}" for name in names),
        *(f"actprobe.errors.{name}" for name in vars(errors) if name.endswith("Error") and name[0] != "_"),
        *EXTENSION_POINTS,
    ]


def public_objects() -> list[str]:
    """The face, by the names under which numpydoc finds it: those of its modules."""
    found = []
    for dotted in face():
        item = resolved(dotted)
        home = f"{item.__module__}.{item.__qualname__}"
        found.append(home)
        if inspect.isclass(item):
            found += [
                f"{home}.{name}"
                for name, value in members(item)
                if inspect.isfunction(value) and (value.__doc__ or not overrides(item, name))
            ]
    return sorted(set(found))


def defined_in(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Every function, class and method of a module whose name has no underscore before it."""
    for name, item in vars(module).items():
        if name.startswith("_") or not is_documentable(item) or item.__module__ != module.__name__:
            continue
        yield name, item
        if inspect.isclass(item):
            yield from (
                (f"{name}.{member}", value)
                for member, value in members(item)
                if value.__doc__ or not overrides(item, member)
            )


PUBLIC = public_objects()


def test_the_face_is_walked() -> None:
    assert {"actprobe.models.registry.load_model", "actprobe.audio.decode.load_audio"} <= set(PUBLIC)
    assert "actprobe.serving.client.client.Client.predict" in PUBLIC
    assert {f"actprobe.{name}" for name in ("neurons", "maps", "export", "Result")} <= set(face())
    assert len(PUBLIC) > 50


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_documented(name: str) -> None:
    faults = [f"{code}: {text}" for code, text in validate(name)["errors"] if code in CHECKS]
    assert not faults


@pytest.mark.parametrize(
    "name", [name for name in actprobe.__all__ if inspect.isfunction(getattr(actprobe, name))]
)
def test_function_of_the_face_has_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(actprobe, name)) or ""
    assert re.search(r"^Examples\n-+\n(?:.*\n)*?>>> ", text, re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_everything_begins_with_a_summary(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), "what is the module for?"
    wrong = []
    for what, item in defined_in(module):
        lines = (inspect.cleandoc(item.__doc__ or "")).splitlines()
        if not lines or not lines[0].strip() or (len(lines) > 1 and lines[1].strip()):
            wrong.append(what)
    assert not wrong, f"without a docstring that begins with a line of summary: {wrong}"


def test_reference_lists_the_face() -> None:
    text = (ROOT / "docs/reference/python.md").read_text("utf-8")
    listed = re.findall(r"^### (\S+)$", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    own = [name for name in face() if resolved(name).__module__ != "actprobe.errors"]
    assert set(listed) == {*own, "actprobe.errors"}


MENTION = re.compile(r"`(actprobe(?:\.\w+)+)")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("actprobe/**/*.py"),
]


def mentioned() -> dict[str, str]:
    """Name in backquotes -> a page or module that mentions it."""
    return {
        name: str(page.relative_to(ROOT))
        for page in PAGES
        for name in MENTION.findall(page.read_text("utf-8"))
    }


def exists(dotted: str) -> bool:
    """Whether a name is that of a module, of something in one, or of an attribute that a class declares."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return part == parts[-1] and part in getattr(found, "__annotations__", {})
            found = getattr(found, part)
        return True
    return False


def test_every_name_that_is_mentioned_exists() -> None:
    assert not exists("actprobe.no_such_name")
    assert not exists("actprobe.Model.no_such_attribute")
    names = mentioned()
    assert len(names) > 50
    assert {name: page for name, page in names.items() if not exists(name)} == {}
