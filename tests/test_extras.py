"""Tests of the packages that are not always installed."""

import configparser
import re
import sys

import pytest
from conftest import REPOSITORY

from koch_siamese import extras
from koch_siamese.errors import InputError


def test_each_package_is_in_the_extra_that_is_advised():
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    listed = config["options.extras_require"]
    for package, extra in extras.PACKAGES.values():
        assert package in re.findall(r"^[\w-]+", listed[extra], re.MULTILINE)


def test_a_missing_module_is_named_with_its_package_and_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert not extras.is_installed("sklearn")
    expected = (
        "Grouping needs scikit-learn, which is not installed: pip install "
        "'koch-siamese[pages]'."
    )
    with pytest.raises(InputError) as raised:
        extras.require("sklearn", "Grouping")
    assert str(raised.value) == expected


def test_an_installed_module_is_not_missing():
    assert extras.is_installed("json")
    extras.require("json", "This test")
