"""An invoice as a download: HTML, PDF or CSV."""

from django.http import HttpResponse

from webapp.billing import invoices
from webapp.billing.models import Invoice

KINDS = ("html", "pdf", "csv")


def of(invoice: Invoice, kind: str) -> HttpResponse:
    """Whoever calls has seen to it that it is the reader's to see."""
    try:
        content, content_type = _made(invoice, kind)
    except invoices.NoPdf as missing:
        return HttpResponse(str(missing), status=503, content_type="text/plain; charset=utf-8")
    answer = HttpResponse(content, content_type=content_type)
    # Its style is inside it, which pages of the site may not have: it is saved, not shown here.
    answer["Content-Disposition"] = f'attachment; filename="{invoice.number}.{kind}"'
    return answer


def _made(invoice: Invoice, kind: str) -> tuple[bytes | str, str]:
    if kind == "pdf":
        return invoices.to_pdf(invoice), "application/pdf"
    if kind == "csv":
        return invoices.to_csv(invoice), "text/csv; charset=utf-8"
    return invoices.to_html(invoice), "text/html; charset=utf-8"
