"""Sends the spans of agents.tracing to where the operator collects them, by OpenTelemetry's own settings.

Nothing happens unless OTEL_EXPORTER_OTLP_ENDPOINT is set.
"""

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agents import tracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def start(service: str) -> None:
    """Once a process, under this name unless OTEL_SERVICE_NAME says another. Raises ImproperlyConfigured
    where spans are wanted and the extra `otel` is not installed."""
    tracing.configure(
        captures_content=settings.TRACING_CAPTURES_CONTENT, share=settings.TRACING_PERCENT / 100
    )
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise ImproperlyConfigured(
            f"{ENDPOINTS[0]} is set, but nothing can send spans: pip install '.[otel]'."
        ) from missing
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
