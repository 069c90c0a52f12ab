#!/bin/sh
# Kernels and small trainings on an emulated 64-bit ARM CPU (NEON), held against this machine's bytes.
#
#     tests/emulated_aarch64.sh [FOLDER] [PYTEST ARGUMENT ...]
#
# Needs Debian's or Ubuntu's apt-get, its package qemu-user-static, and an environment with bnnsim[test]; no root. FOLDER
# (./aarch64 by default) keeps a Python for ARM and the same versions of packages, about 600 MB; remove it when done.
# The emulation is slow, and says nothing of the speed on real hardware.
set -eu
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-aarch64}")
[ $# -gt 0 ] && shift
command -v qemu-aarch64-static > /dev/null || { echo "install qemu-user-static first" >&2; exit 2; }

if ! [ -e "$folder/site/numba" ]; then
    mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs" "$folder/site"
    apt() {
        apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o Dir::State=/ \
            -o Dir::State::lists="$folder/apt/lists" -o Dir::State::status=/dev/null \
            -o Dir::Cache="$folder/apt/cache" "$@"
    }
    apt update
    python=$(apt-cache -o APT::Architecture=arm64 -o Dir::State::lists="$folder/apt/lists" \
        -o Dir::State::status=/dev/null -o Dir::Cache="$folder/apt/cache" depends python3-minimal |
        sed -n 's/.*Depends: \(python3\.[0-9]*\)-minimal$/\1/p' | head -n 1)
    (cd "$folder/debs" && apt download "$python-minimal" "lib$python-minimal" "lib$python-stdlib" libc6 libgcc-s1 \
        libstdc++6 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1)
    for deb in "$folder"/debs/*.deb; do dpkg -x "$deb" "$folder/root"; done
    packages=$(python3 -c "import importlib.metadata as found
print(*(f'{name}=={found.version(name)}' for name in 'numpy numba scipy h5py matplotlib tqdm pytest hypothesis'.split()))")
    python3 -m pip install -q --target "$folder/site" --only-binary=:all: --python-version "${python#python}" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        $packages
fi

arm() {
    PYTHONPATH=$PWD:$PWD/tests:$folder/site NUMBA_CACHE_DIR=$folder/cache NUMBA_CPU_NAME=cortex-a76 \
        NUMBA_CPU_FEATURES=${FEATURES:-+neon,+dotprod} \
        qemu-aarch64-static -L "$folder/root" "$(ls "$folder"/root/usr/bin/python3.*)" "$@"
}

echo "== kernels against naive references, emulated"
arm -m pytest -q -p no:cacheprovider "${@:-tests/kernels}"
echo "== bytes: operations, loops, products, trainings and sweeps, here and emulated"
PYTHONPATH=$PWD python3 tests/digests.py > "$folder/here.txt"
arm tests/digests.py > "$folder/emulated.txt"
diff "$folder/here.txt" "$folder/emulated.txt"
cat "$folder/emulated.txt"
echo "== the same bytes"
