"""How every test runs: properties are drawn alike on each machine and leave no files behind."""

from hypothesis import settings

settings.register_profile("harness", deadline=None, derandomize=True, database=None)
settings.load_profile("harness")
