"""What `--with` takes, and what it refuses before anything is started."""

import pytest

from harness.errors import SpecError
from harness.execution.environments.requirements import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transformers==4.57.*", ["transformers==4.57.*"]),
        ("transformers>=5,<5.20", ["transformers<5.20,>=5"]),
        ("torch==2.11.*, transformers>=5 , <5.20", ["torch==2.11.*", "transformers<5.20,>=5"]),
        ("torch==2.11.*;accelerate[a,b]!=1.0", ["accelerate[a,b]!=1.0", "torch==2.11.*"]),
        ("transformers", ["transformers"]),
    ],
)
def test_a_set_is_told_from_the_commas_within_a_requirement(text: str, expected: list[str]) -> None:
    """A comma before a comparison, or within brackets, separates no packages."""
    assert expected == [str(each) for each in parse(text)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "takes requirements"),
        (" , ;", "takes requirements"),
        ("transformers=4.57", "takes requirements"),
        ("==4.57", "takes requirements"),
        ("./transformers", "takes requirements"),
        ("git+https://host/x", "takes requirements"),
        ("--index-url=https://host", "takes requirements"),
        ("x @ https://host/x.whl", "only packages from the index"),
        ("x @ git+https://host/x", "only packages from the index"),
        ("x @ file:///x.whl", "only packages from the index"),
        ("a_b==1, A-b==2", "each package once"),
    ],
)
def test_what_is_no_package_of_the_index_is_refused(text: str, message: str) -> None:
    """In a line, before anything is looked up; options of pip are none either."""
    with pytest.raises(SpecError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_a_reference_outside_the_index_must_be_allowed() -> None:
    """And is then passed on as it is."""
    (found,) = parse("x @ https://host/x.whl", direct=True)
    assert "https://host/x.whl" == found.url
