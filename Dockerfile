# Despina on the CPU. The same as Dockerfile.gpu but for the extra and the GPU's variables.
#
#   docker build -t despina .
#   docker run --rm -p 8000:8000 -p 8001:8001 -p 8002:8002 -v "$PWD/model_repository:/models:ro" despina

FROM python:3.13-slim-bookworm AS build
# Models that change the case of texts (StringNormalizer, in scikit-learn's vectorizers too) do not load without it.
RUN apt-get update && apt-get install --yes --no-install-recommends locales \
    && localedef --no-archive -i en_US -f UTF-8 /opt/en_US.utf8
WORKDIR /src
# hatchling, which builds the package, is pinned there too.
ENV PIP_CONSTRAINT=/src/constraints.txt
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY server server
COPY backends backends
RUN python -m venv /opt/despina \
    && /opt/despina/bin/pip install --no-cache-dir --disable-pip-version-check '.[cpu,score]' 'tritonclient[http]'

FROM python:3.13-slim-bookworm
RUN groupadd --gid 10001 despina && useradd --uid 10001 --gid 10001 --create-home despina
COPY --from=build /opt/en_US.utf8 /usr/lib/locale/en_US.utf8
COPY --from=build /opt/despina /opt/despina
ENV PATH=/opt/despina/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /home/despina
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=300s --retries=3 \
    CMD ["python", "-m", "despina.cli.image_health"]
ENTRYPOINT ["despina"]
CMD ["serve", "--model-repository=/models"]
