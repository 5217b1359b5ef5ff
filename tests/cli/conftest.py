"""The command line in this process, in an empty folder."""

from pathlib import Path

import pytest

from tests.support.answers import Answer, Ask


@pytest.fixture
def refused(ask: Ask) -> Ask:
    """As `ask`, for wrong use: code 2, one line on stderr, no output, no file."""

    def answer(*arguments: object) -> Answer:
        found = ask(*arguments)
        assert 2 == found.code
        assert "" == found.out
        assert 1 == len(found.err.splitlines()), found.err
        assert found.err.startswith("harness: ")
        assert [] == list(Path().iterdir())
        return found

    return answer
