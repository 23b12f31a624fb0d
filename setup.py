"""Map the top-level folders into one import namespace and build the C++ core."""

import os
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import find_namespace_packages, setup

ROOTS = {"divfast": "divfast", "kernels": "divfast.kernels", "cli": "divfast.cli"}

packages = []
package_dir = {}
for folder, name in ROOTS.items():
    package_dir[name] = folder
    # Namespaces too: folders of data are packages to setuptools.
    found = find_namespace_packages(folder, exclude=["*__pycache__*"])
    packages += [name, *(f"{name}.{child}" for child in found)]

compile_args = ["-O3", "-fvisibility=hidden", "-g0"]
if os.environ.get("DIVFAST_NATIVE") == "1":
    compile_args.append("-march=native")

# Relative and sorted, so that two builds of the same tree are the same bytes.
core = Pybind11Extension(
    "divfast._core",
    sorted(str(path) for path in Path("csrc").glob("*.cpp")),
    include_dirs=["csrc"],
    depends=sorted(str(path) for path in Path("csrc").glob("*.hpp")),
    cxx_std=17,
    extra_compile_args=compile_args,
    extra_link_args=["-pthread"],
)

ParallelCompile("DIVFAST_BUILD_JOBS", default=0).install()

setup(packages=packages, package_dir=package_dir, ext_modules=[core])
