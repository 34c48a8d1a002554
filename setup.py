"""The packages and their data; everything else is in pyproject.toml.

`gin/` at the top level holds gin files and must never become a Python package (it would hide
gin-config), so it is mapped to `deeplab.gin_files` here, which pyproject.toml cannot express.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["deeplab", "deeplab.*"]), "deeplab.gin_files"],
    package_dir={"deeplab.gin_files": "gin"},
    package_data={
        "deeplab": ["py.typed", "*.jinja"],
        "deeplab.data.checking": ["*.jinja"],
        "deeplab.evaluation": ["*.jinja", "*.js"],
        "deeplab.export.web": ["page/*"],
        "deeplab.gin_files": ["**/*.gin"],
    },
)
