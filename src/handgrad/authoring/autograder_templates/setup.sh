#!/usr/bin/env bash
# Installs handgrad beside this file. Gradescope runs it when it builds the image, Classroom 50 before each submission.
# The system's Python may be another (3.10 on Gradescope, for which handgrad is not made): uv brings its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if ! command -v uv >/dev/null; then
    if ! python3 -m venv installer 2>/dev/null; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends python3 python3-venv
        python3 -m venv --clear installer
    fi
    installer/bin/python -m pip install --quiet uv
    PATH="$PWD/installer/bin:$PATH"
fi
uv venv --quiet --clear --python "${HANDGRAD_PYTHON:-3.12}" venv
# No graphics card is needed: the CPU build of torch is ten times smaller. The exact versions are those of the course;
# another Python may lack some of them, and then takes what the course allows.
install=(uv pip install --quiet --python venv/bin/python --torch-backend cpu)
"${install[@]}" --requirement requirements.lock || "${install[@]}" --requirement requirements.txt
