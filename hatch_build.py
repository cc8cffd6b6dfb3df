"""Builds wheels with compiled modules, where the environment says ``ECSNET_COMPILE=1``.

The modules that run for each client in each tick are compiled by mypyc, from the very sources that
run without it. Such a wheel needs a C compiler to build, and fits one platform and Python; without
the variable a wheel is pure Python. Nothing is left behind in the working tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Runs in a folder that holds a copy of the package and nothing else.
_SETUP = """\
import sys
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify(
    ["--ignore-missing-imports", *sys.argv.pop().split(",")], opt_level="3", debug_level="0"
)
if sys.platform == "linux":
    # Nobody replaces our functions at load time, so they may be called directly, and inlined.
    for module in modules:
        module.extra_compile_args.append("-fno-semantic-interposition")
setup(name="ecsnet", packages=[], ext_modules=modules)
"""


class CompileHook(BuildHookInterface[Any]):
    """A hook that adds the compiled modules to a wheel; their sources stay in it beside them."""

    def dependencies(self) -> list[str]:
        """Return what compiling needs besides a C compiler: mypy looks at others' types, too."""
        if not _wanted():
            return []
        return ["mypy>=1.15", "setuptools>=65", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless this is an editable install or nobody asked for it."""
        if version == "editable" or not _wanted():
            return
        self._place = tempfile.TemporaryDirectory(prefix="ecsnet-compile-")
        place = Path(self._place.name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(self.root, "ecsnet"), place / "ecsnet", ignore=ignored)
        (place / "setup.py").write_text(_SETUP)
        modules = ",".join(self.config["compile"])
        command = [sys.executable, "setup.py", "build_ext", "--build-lib", "compiled", modules]
        made = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"mypyc failed:\n{made.stdout[-4000:]}\n{made.stderr[-4000:]}")
        compiled = place / "compiled"
        for path in compiled.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = str(path.relative_to(compiled))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Tidy up."""
        if hasattr(self, "_place"):
            self._place.cleanup()


def _wanted() -> bool:
    return os.environ.get("ECSNET_COMPILE", "") not in ("", "0")
