"""knuckle_ros as an ament_python package, for colcon on a ROS installation. `pip install knuckle` does not use it."""

from setuptools import find_packages, setup

NAME = "knuckle_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "graphs/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/knuckle.launch.py"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The knuckle authors",
    maintainer_email="knuckle@users.noreply.github.com",
    description="Nodes of a dexterous hand",
    license="Apache-2.0",
)
