"""Public names of the package: each can be imported, and a deprecated name is the new object with a warning."""

from __future__ import annotations

import pytest

import remanence


@pytest.mark.parametrize(("old", "new"), [("Chance", "NullCalibration"), ("Said", "GeneratedText")])
def test_a_renamed_class_is_still_found_under_its_old_name(old: str, new: str):
    with pytest.warns(DeprecationWarning, match=f"remanence.{old} is now remanence.{new}"):
        assert getattr(remanence, old) is getattr(remanence, new)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = remanence.Nothing
