# handgrad with everything that a course needs: grading, formgrader, PostgreSQL, Dask. See docs/operate/container.md.

FROM debian:bookworm-slim AS build
# Debian 12 has Python 3.11, for which requirements.lock was made
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
RUN python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --quiet uv
# cpu: PyTorch's build without CUDA, which is several GB smaller; uv knows where it is
ARG UV_TORCH_BACKEND=cpu
ARG TORCH=2.13.0
ENV PATH=/opt/uv/bin:$PATH VIRTUAL_ENV=/opt/handgrad
WORKDIR /clone
COPY requirements.lock constraints.txt ./
# compiled: the user of the image cannot write beside the modules, and would compile them for every command
RUN uv venv --quiet --python /usr/bin/python3 /opt/handgrad \
 && uv pip install --quiet --compile-bytecode "torch==$TORCH" \
 && uv pip install --quiet --compile-bytecode --require-hashes --requirement requirements.lock \
 && uv pip install --quiet --compile-bytecode --constraint constraints.txt distributed psycopg2-binary
# packages' own tests, and PyTorch's C++ headers and programs, but for the one that it starts: 0.25 GB not used here
RUN cd /opt/handgrad/lib/python3*/site-packages \
 && rm -rf torch/include torch/test \
 && find torch/bin -type f ! -name torch_shm_manager -delete \
 && find . -type d -name tests -prune -exec rm -rf {} +
# a wheel of a clone also holds the exercises for `handgrad init`; it stays, and `handgrad release` copies it
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE nbgrader_config.py ./
COPY src src
COPY source source
COPY tests/cases/mistakes tests/cases/mistakes
RUN uv build --quiet --wheel --out-dir /opt/handgrad/wheel . \
 && uv pip install --quiet --compile-bytecode --no-deps /opt/handgrad/wheel/*.whl

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/handgrad /opt/handgrad
ENV PATH=/opt/handgrad/bin:$PATH OMP_NUM_THREADS=1 LANG=C.UTF-8
RUN useradd --create-home --uid 1000 grader \
 && install --directory --owner grader --group grader --mode 700 /course
USER grader
WORKDIR /course
CMD ["handgrad", "--help"]
