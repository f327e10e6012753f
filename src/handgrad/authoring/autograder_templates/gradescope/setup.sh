#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image.
set -euo pipefail
cd "${AUTOGRADER_ROOT:-/autograder}/source"
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3 python3-venv
python3 -m venv venv
# the exact versions of the course; another Python may lack some of them, and then takes what the course allows
venv/bin/python -m pip install --quiet --requirement requirements.lock ||
    venv/bin/python -m pip install --quiet --requirement requirements.txt
