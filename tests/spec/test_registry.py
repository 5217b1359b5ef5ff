"""What there is to run is read from files, never executed, and unknown names are answered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SpecError
from harness.spec import registry
from harness.spec.case import Case
from harness.spec.recipe import Recipe

Write = Callable[[str, str], Path]
LOOP = "def train(workload, recipe, probe): ...\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of the user's and returns its path."""

    def file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


def refusal(action: Callable[..., object], *arguments: Any) -> str:
    """The one line with which `action` is refused."""
    with pytest.raises(SpecError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_reference_comes_first() -> None:
    """The three loops of the house are found, `plain` before all others."""
    assert ["plain", "accelerated", "trainer"] == list(registry.loops())[:3]


def test_each_workload_has_a_case_of_its_name() -> None:
    """The built-in cases are the workloads with their own recipes."""
    cases = registry.cases()

    assert {"mrpc", "paraphrase"} <= cases.keys()
    assert registry.workloads().keys() == cases.keys()
    for name, case in cases.items():
        entry = registry.workload(name)
        assert (name, name, entry.options) == (case.name, case.workload, case.options)
        assert Recipe(**entry.recipe) == case.recipe


def test_entries_say_what_they_are() -> None:
    """Each loop and workload has a line for the list, and habits that are fields of the recipe."""
    for loop in registry.loops().values():
        assert loop.summary
        assert loop.native.keys() <= Recipe.model_fields.keys()
    for workload in registry.workloads().values():
        assert workload.summary
        assert "model" in workload.options


def test_unknown_names_are_answered_with_the_nearest() -> None:
    """Loops and workloads alike."""
    assert "unknown loop (met 'trainr'): did you mean 'trainer'?" in refusal(
        registry.loop, "trainr"
    )
    assert "unknown workload (met 'mprc'): did you mean 'mrpc'?" in refusal(
        registry.workload, "mprc"
    )


def test_a_loop_may_be_a_file(write: Write) -> None:
    """A file of the user's is described by its docstring and its literal table of habits."""
    path = write(
        "mine.py",
        '"""My loop.\n\nMore."""\nNATIVE = {"sampler": "global"}\nraise SystemExit\n' + LOOP,
    )
    found = registry.loop(str(path))

    assert ("mine", "My loop.", {"sampler": "global"}) == (found.name, found.summary, found.native)
    assert path == found.path


def test_a_loop_file_may_say_nothing(write: Write) -> None:
    """Docstring and habits are optional."""
    found = registry.loop(str(write("mine.py", "def train(workload, recipe, probe): ...\n")))

    assert ("", {}) == (found.summary, found.native)


def test_a_loop_file_may_hold_other_tables(write: Write) -> None:
    """A dict that is no literal is the loop's own business and is not read."""
    path = write("mine.py", 'import math\nTABLE = {"a": math.pi}\nNATIVE = {"seed": 1}\n' + LOOP)

    assert {"seed": 1} == registry.loop(str(path)).native


def test_a_loop_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The path is named; a folder is no file."""
    assert "nowhere.py" in refusal(registry.loop, str(tmp_path / "nowhere.py"))
    (tmp_path / "folder.py").mkdir()
    assert "folder.py" in refusal(registry.loop, str(tmp_path / "folder.py"))


@pytest.mark.parametrize(("text", "line"), [("import os\ndef train(:\n", 2), ("'''\n", 1)])
def test_a_loop_file_with_a_syntax_error_is_refused(write: Write, text: str, line: int) -> None:
    """The file and the line of the error are named."""
    path = write("broken.py", text)

    rule = f"a loop or workload is a file of valid Python (met {path}:{line}: "
    assert rule in refusal(registry.loop, str(path))


def test_a_loop_file_that_is_no_text_is_refused(write: Write) -> None:
    """A null byte, for example; no line is named then."""
    path = write("broken.py", "x = 1\n\0")

    rule = f"a loop or workload is a file of valid Python (met {path}: "
    assert rule in refusal(registry.loop, str(path))


def test_settings_reach_recipe_and_options() -> None:
    """A key is a field of the recipe or an option of the workload; the rest stays."""
    case = registry.cases()["mrpc"]
    found = registry.with_settings(case, {"max_steps": 50, "data": "../data"})

    assert (50, "../data") == (found.recipe.max_steps, found.options["data"])
    assert case.options["model"] == found.options["model"]
    assert (None, None) == (case.recipe.max_steps, case.options["data"])
    assert case.key != found.key


def test_no_settings_change_nothing() -> None:
    """Control: the case and its key stay."""
    case = registry.cases()["mrpc"]

    assert (case, case.key) == (
        registry.with_settings(case, {}),
        registry.with_settings(case, {}).key,
    )


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("learning_rat", "learning_rate"), ("dat", "data"), ("max_step", "max_steps")],
)
def test_an_unknown_key_is_answered_with_the_nearest(key: str, nearest: str) -> None:
    """Among the workload's options and the recipe's fields."""
    message = refusal(registry.with_settings, registry.cases()["mrpc"], {key: 1})

    assert f"unknown key for mrpc (met '{key}'): did you mean '{nearest}'?" in message


def test_a_setting_out_of_range_is_refused() -> None:
    """`model_copy` does not validate, so the recipe is built anew."""
    message = refusal(registry.with_settings, registry.cases()["mrpc"], {"num_epochs": 0})

    assert message.startswith("num_epochs: ")


def test_matched_follows_the_case_to_the_letter() -> None:
    """Under matched conventions every loop has the case's own recipe."""
    case = registry.cases()["mrpc"]

    for loop in registry.loops():
        assert case.recipe == registry.run_spec(case, loop).recipe


def test_native_puts_the_loops_habits_over_the_recipe() -> None:
    """Under native conventions exactly the loop's own fields depart, and the case stays."""
    case = registry.with_settings(registry.cases()["mrpc"], {"max_steps": 50})
    found = registry.run_spec(case, "plain", "native", repeat=2)
    asked, followed = case.recipe.model_dump(), found.recipe.model_dump()

    habits = registry.loop("plain").native
    assert habits
    assert habits == {name: followed[name] for name in asked if asked[name] != followed[name]}
    assert (case, 50, 2) == (found.case, found.recipe.max_steps, found.repeat)


def test_a_loop_file_goes_into_the_spec_by_its_path(write: Write) -> None:
    """The worker must find it from wherever it runs."""
    path = write("mine.py", 'NATIVE = {"seed": 7}\n' + LOOP)
    spec = registry.run_spec(registry.cases()["mrpc"], str(path), "native")

    assert (str(path.resolve()), 7) == (spec.loop, spec.recipe.seed)


def test_a_loop_files_habits_must_be_fields_of_the_recipe(write: Write) -> None:
    """A slip in the file's table is answered like any other."""
    path = write("mine.py", 'NATIVE = {"sampelr": "global"}\n' + LOOP)
    case = registry.cases()["mrpc"]

    assert "did you mean 'sampler'?" in refusal(registry.run_spec, case, str(path), "native")


def test_a_case_may_be_a_file(write: Write) -> None:
    """A file names the workload and what departs from that workload's own case."""
    path = write(
        "quick.toml",
        'workload = "mrpc"\n[options]\ndata = "here"\n'
        "[recipe]\nmax_steps = 5\nbetas = [0.9, 0.9]\n",
    )
    found = registry.case_from_file(path)

    assert ("quick", "mrpc", "here") == (found.name, found.workload, found.options["data"])
    assert (5, (0.9, 0.9)) == (found.recipe.max_steps, found.recipe.betas)
    assert registry.workload("mrpc").options["model"] == found.options["model"]


def test_an_arm_is_the_case_by_other_fields(write: Write) -> None:
    """What an arm sets stands over the recipe; all else is the case's, and other runs are too."""
    case = registry.case_from_file(
        write("arms.toml", 'noise = 8\n[arms.slow]\nattention = "eager"\nseed = 7\n')
    )
    arm = registry.run_spec(case, "plain", arm="slow")

    assert ("slow", "eager", 7) == (arm.arm, arm.recipe.attention, arm.recipe.seed)
    assert case.recipe == registry.run_spec(case, "plain").recipe
    assert case.recipe.learning_rate == arm.recipe.learning_rate


def test_an_empty_case_file_is_the_default_case(write: Write) -> None:
    """Control: what a file does not say is the workload's own."""
    found = registry.case_from_file(write("paraphrase.toml", ""))

    assert registry.cases()["paraphrase"] == found


def test_a_case_file_takes_every_documented_key(write: Write) -> None:
    """All of `CASE_KEYS`, which docs/recipe.md lists, and no field that an expansion sets."""
    keys = [
        *('name = "mine"', 'workload = "mrpc"', "resume_at = 3", "noise = 8", 'note = "why"'),
        *('device = "cuda"', 'digests = "device"', "world_size = 2"),
        *("[options]", "[recipe]", "[arms]", "[overrides]"),
    ]
    named = {line.partition(" ")[0].strip("[]") for line in keys}
    assert set(registry.CASE_KEYS) == named
    found = registry.case_from_file(write("case.toml", "\n".join(keys)))
    assert ("mine", "device", 2) == (found.name, found.digests, found.world_size)
    for name in set(Case.model_fields) - named:
        text = write("other.toml", f'{name} = "x"')
        assert f"unknown key in {text}" in refusal(registry.case_from_file, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workload = ", "a case file is TOML"),
        ('worklod = "mrpc"', "did you mean 'workload'?"),
        ('workload = "mprc"', "did you mean 'mrpc'?"),
        ('device = "tpu9"', "device: "),
        ('name = "a/b"', "name: "),
        ("[recipe]\nmax_steps = 0", "max_steps: "),
        ("[recipe]\nmax_step = 5", "did you mean 'max_steps'?"),
        ("recipe = 3", "recipe"),
        ("noise = 0", "noise: "),
        ("[arms]\neager = 3", "arms"),
        ('[arms."a/b"]\nattention = "eager"', "arms"),
        ('options = "none"', "options"),
    ],
)
def test_a_bad_case_file_is_refused_in_one_line(write: Write, text: str, said: str) -> None:
    """What does not fit is named, the nearest known name beside it."""
    assert said in refusal(registry.case_from_file, write("case.toml", text))


def test_a_case_file_must_exist_and_be_text(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are refused by their path."""
    assert "nowhere.toml" in refusal(registry.case_from_file, tmp_path / "nowhere.toml")
    assert str(tmp_path) in refusal(registry.case_from_file, tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "bytes.toml" in refusal(registry.case_from_file, tmp_path / "bytes.toml")
