#!/bin/sh
# What a machine with JAX but without MuJoCo needs for ppo_mjx.py, as wheels, 17 MB: sh benchmarks/gpu/carry.sh [FOLDER]
# MuJoCo of the locked version without its studio, and the last MJX. There have to be: jax, numpy, scipy, safetensors,
# absl-py, etils with epath, psutil, pyyaml, rich. Run it where pip works; then, on the other machine:
#   python3 -m pip install -q --no-index --no-deps --no-compile --target SITE FOLDER/*.whl && export PYTHONPATH=SITE:src
set -eu
folder=${1:-.gpu/wheels}
python=${KNUCKLE_GPU_PYTHON:-3.12}
mkdir -p "$folder"
for package in mujoco==4.0.0 mujoco-core==4.0.0 mujoco-mjx==3.17.0 trimesh==5.2.0; do
    python3 -m pip download -q --no-deps --only-binary=:all: --python-version "$python" --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$folder" "$package"
done
du -sh "$folder"
