# One image for every command: worker, topics, publish, decisions.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY streams streams
COPY schemas schemas
COPY projections projections
COPY deploy deploy
RUN python -m venv /opt/pathway-billing \
 && /opt/pathway-billing/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
 && /opt/pathway-billing/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/pathway-billing /opt/pathway-billing
ENV PATH=/opt/pathway-billing/bin:$PATH PYTHONUNBUFFERED=1 PATHWAY_BILLING_DATA=/data
RUN useradd --uid 10001 --create-home --home-dir /home/billing billing && install -d -o billing /data
USER billing
VOLUME /data
ENTRYPOINT ["pathway-billing"]
CMD ["--help"]
