"""What holds for every test."""

import os

import pytest
from hypothesis import settings

settings.register_profile("perflens", deadline=None)  # how fast an example is says nothing of whether it is right
settings.load_profile("perflens")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave large components, and what takes minutes, to their own target."""
    if "TEST_COMPONENTS" not in os.environ:
        for item in items:
            if mark := item.get_closest_marker("components"):
                target = mark.args[0] if mark.args else "test-components"
                item.add_marker(pytest.mark.skip(f"takes minutes to fetch, build, see or wait for: make {target}"))
