"""{% sheet "chat" %} and {% script "chat" %}: a page's own style and script, as they were built."""

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from webapp import bundles

register = template.Library()


@register.simple_tag
def sheet(page: str) -> SafeString:
    return format_html_join(
        "", '<link rel="stylesheet" href="{}">', ((static(name),) for name in bundles.files(f"{page}.css"))
    )


@register.simple_tag
def script(page: str) -> SafeString:
    """The page's module; what it imports is asked for at once, not one after the other."""
    own, *imported = bundles.files(f"{page}.js")
    preload = '<link rel="modulepreload" href="{}">'
    links = format_html_join("", preload, ((static(name),) for name in imported))
    return format_html('{}<script type="module" src="{}"></script>', links, static(own))
