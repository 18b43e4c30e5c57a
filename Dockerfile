# The suite in a container, for CPUs and for NVIDIA GPUs; docs/labs.md says how to build and run it.
FROM python:3.11

# cuda: the image is not made unless torch comes with CUDA, which the host then needs no more for than a driver.
ARG DEVICE=cpu
# Of pyproject.toml, such as ray,imagenet.
ARG EXTRAS=suite
# What pip reads: a mirror, or an index with other builds of torch.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL

RUN useradd --create-home nlcore \
    && install --directory --owner nlcore /data /store /cache /figures /home/nlcore/suite
USER nlcore
WORKDIR /home/nlcore/suite
COPY --chown=nlcore . .
RUN make install
RUN .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[$EXTRAS]"
RUN test "$DEVICE" = cpu || .venv/bin/python -c 'import torch; assert torch.version.cuda, "torch without CUDA"'

ENV NLCORE_STORE=/store NLCORE_CACHE=/cache NLCORE_OUTPUT=/figures HF_HOME=/cache/hub
VOLUME ["/data", "/store", "/cache", "/figures"]
ENTRYPOINT ["/home/nlcore/suite/.venv/bin/python", "/home/nlcore/suite/run_all.py"]
