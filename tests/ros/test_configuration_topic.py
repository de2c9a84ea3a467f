"""What a node says of its configuration, read back."""

from __future__ import annotations

import pytest

from knuckle.core.errors import RecordingError

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("text", ["", "not json", "[1]", "{}", '{"config": 3}'])
def test_a_text_without_a_configuration_is_refused_with_its_topic(text: str) -> None:
    from knuckle_ros.configuration_topic import said_configuration

    with pytest.raises(RecordingError, match="perception/configuration: no configuration in it"):
        said_configuration(text, where="perception/configuration")


def test_a_configuration_is_read_back() -> None:
    from knuckle_ros.configuration_topic import said_configuration

    assert said_configuration('{"kind": "player", "config": {"file": "a.mat"}}', where="x") == {"file": "a.mat"}
