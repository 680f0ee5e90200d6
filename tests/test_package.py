"""What is installed: everything beside the modules that the code reads."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_file_of_the_package_is_installed():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["groundglass"]
    package = ROOT / "src/groundglass"
    beside = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert beside == {path for pattern in patterns for path in package.glob(pattern)}
    assert package / "cli/demo.toml" in beside
