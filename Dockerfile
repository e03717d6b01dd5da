# Three images from one file:
#   web        pages, sockets, REST, Celery worker and beat; no torch
#   inference  the inference worker on a CPU
#   gpu        the inference worker on an NVIDIA GPU
# docker build --target web .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN useradd --create-home --uid 10001 app && install -d -o app /var/lib/platform /app
WORKDIR /app
# The dependencies alone: this layer stays while only code changes.
COPY pyproject.toml README.md LICENSE ./
RUN pip install --upgrade "pip>=26" && pip install ".[postgres]"
ENV VAR_DIR=/var/lib/platform STATIC_ROOT=/app/staticfiles

FROM base AS web
# The sandbox for code that models write, the browser for pages that need scripts (`manage.py doctor` says
# whether the container may use them), and what reports are printed as PDF with.
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap chromium python3 \
    libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-liberation fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/* && pip install ".[browser]"
COPY . .
RUN VAR_DIR=/tmp/build SECRET_KEY=build python manage.py collectstatic --noinput && rm -r /tmp/build
USER app
VOLUME /var/lib/platform
EXPOSE 8000
CMD ["python", "-m", "webapp.daphne", "-b", "0.0.0.0", "-p", "8000", "webapp.asgi:application"]

# The worker compiles its kernels at its first start, for the processor it then finds (some 10 s), and keeps
# them on the volume: one image is right for AVX2 and AVX-512 machines. Triton wants a compiler as well.
FROM base AS engine-room
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

FROM engine-room AS inference
# Which build of torch pip takes: empty is the package index's own.
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch==2.13.0; fi && pip install ".[cpu]"
COPY . .
USER app
VOLUME /var/lib/platform
CMD ["python", "-m", "inference.worker"]

FROM engine-room AS gpu
RUN pip install ".[gpu]"
COPY . .
USER app
VOLUME /var/lib/platform
CMD ["python", "-m", "inference.worker"]
