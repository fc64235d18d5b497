"""Packages that import their names late: what is listed, what is loaded, and what is refused."""

from __future__ import annotations

import pytest

from imavatar_deploy.lazy import lazy_names

from .processes import run_python

PLACES = {"ImavatarError": ".errors", "Base": ".errors:ImavatarError"}


def test_names_are_imported_when_they_are_used() -> None:
    attribute, names = lazy_names("imavatar_deploy", PLACES)
    assert set(PLACES) <= set(names())
    assert attribute("ImavatarError") is attribute("Base")
    assert attribute("Base").__name__ == "ImavatarError"


def test_an_unknown_name_is_an_attribute_error() -> None:
    attribute, _ = lazy_names("imavatar_deploy", PLACES)
    with pytest.raises(AttributeError, match="module 'imavatar_deploy' has no attribute 'Nothing'"):
        attribute("Nothing")


@pytest.mark.parametrize("package", ["fidelity", "exporters", "training", "runtime"])
def test_importing_a_package_loads_no_heavy_library(package: str) -> None:
    code = f"""
import sys
import imavatar_deploy.{package} as package
assert set(package.__all__) <= set(dir(package)), "help lists every name"
loaded = {{"torch", "numba", "cv2", "onnxruntime", "igl", "scipy"}} & sys.modules.keys()
assert not loaded, loaded
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
