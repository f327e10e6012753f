"""The build: a wheel of a clone also holds what `handgrad init` makes a course of; the rest is in pyproject.toml.

This is for instructors: it has the solutions. `handgrad release` gives students a wheel without it.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# handgrad.authoring.release.MATERIAL; the package cannot be imported here
MATERIAL = "handgrad/course_material"
FILES = ("nbgrader_config.py", "source/*/*.ipynb", "tests/cases/mistakes/*.toml")


class WithCourseMaterial(build_py):
    """Copies the material of a course into the built package, if the folder that is built has it."""

    def run(self) -> None:
        """Build the package, then copy."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, MATERIAL)
        shutil.rmtree(target, ignore_errors=True)
        for path in sorted(path for pattern in FILES for path in Path().glob(pattern)):
            # of the known mistakes, those of the sample class
            if path.suffix != ".toml" or "\nstudent = " in path.read_text(encoding="utf-8"):
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / path)


setup(cmdclass={"build_py": WithCourseMaterial})
