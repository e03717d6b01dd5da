"""What an operator puts on offer: models under their own names, each with the backend that serves it, and
search engines."""

from decimal import Decimal
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.forms import model_to_dict
from django.utils.translation import gettext_lazy as _

MODEL_NAME = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
    _("A model's name is made of letters, digits and . _ : / @ - and begins with a letter or digit."),
)

# Not Django's own check: it knows no hosts of a private network, like http://searxng:8080.
HTTP_ADDRESS = RegexValidator(r"^https?://[^\s/]+", _("An address begins with http:// or https://."))

# Narrow on purpose: an administrator must not be able to send SECRET_KEY to an address of their choice.
KEY_VARIABLE = RegexValidator(r"^[A-Z0-9_]*API_KEY$", _("The name of a variable that ends in API_KEY."))


class ServedModelQuerySet(models.QuerySet["ServedModel"]):
    def offered(self) -> Self:
        """Models that an operator offers and that have what they need, in the order the picker shows them."""
        return self.filter(is_active=True, is_configured=True).order_by("position", "name")


class Served(models.Model):
    """How one backend is reached, and how it is told to think."""

    class Backend(models.TextChoices):
        LOCAL = "local", _("Local inference worker")
        OPENAI_COMPATIBLE = "openai_compatible", _("OpenAI-compatible provider")
        SCRIPTED = "scripted", _("Scripted model")

    class ThinkingDialect(models.TextChoices):
        """How a provider is told to think, and where it puts its reasoning."""

        NONE = "none", _("Does not think")
        ALWAYS = "always", _("Always thinks (reasoning_content)")
        THINKING_TYPE = "thinking_type", "thinking: {type}"
        TEMPLATE_KWARGS = "template_kwargs", "chat_template_kwargs"
        THINK_TAGS = "think_tags", _("<think> tags, asked for in the system prompt")

    class OutputParser(models.TextChoices):
        """Who takes reasoning and tool calls out of a provider's text."""

        THEIRS = "theirs", _("The provider's")
        OURS = "ours", _("Ours: Kimi's marks, from a provider that leaves them in the text")

    backend = models.CharField(_("backend"), max_length=20, choices=Backend)
    upstream_name = models.CharField(_("name at the backend"), max_length=120)
    base_url = models.CharField(_("base URL"), max_length=200, blank=True)
    api_key_env = models.CharField(
        _("variable that holds the key"),
        max_length=60,
        blank=True,
        validators=[KEY_VARIABLE],
        help_text=_("The key itself is never stored here."),
    )
    thinking_dialect = models.CharField(
        _("thinking dialect"), max_length=20, choices=ThinkingDialect, default=ThinkingDialect.THINK_TAGS
    )
    output_parser = models.CharField(
        _("output parser"), max_length=10, choices=OutputParser, default=OutputParser.THEIRS
    )
    weight = models.PositiveSmallIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1)],
        help_text=_("Its share of the conversations among the upstreams of one rank."),
    )
    patience_s = models.PositiveSmallIntegerField(
        _("patience in seconds"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "How long its first word may take before the next upstream is asked. Empty: as long as it likes."
        ),
    )

    class Meta:
        abstract = True


class ServedModel(Served):
    """A model as the picker, the API and the price list name it, with the first of its upstreams."""

    name = models.CharField(_("name"), max_length=80, unique=True, validators=[MODEL_NAME])
    label = models.CharField(_("label"), max_length=80)
    description = models.CharField(_("description"), max_length=200, blank=True)
    system_prompt = models.TextField(_("default system prompt"), blank=True)
    context_tokens = models.PositiveIntegerField(_("context length"))
    max_output_tokens = models.PositiveIntegerField(_("longest answer"))
    thinks = models.BooleanField(_("can think"), default=True)
    calls_tools = models.BooleanField(_("can call tools"), default=True)
    is_small = models.BooleanField(
        _("small"),
        default=False,
        help_text=_(
            "A small model loses its way among many tools. It gets those that find and work things out, not"
            " those to plan, remember, go back, ask and share work out."
        ),
    )
    is_active = models.BooleanField(_("offered"), default=True, help_text=_("The operator's switch."))
    is_configured = models.BooleanField(
        _("configured"),
        default=True,
        help_text=_("Whether its key, script or model file is given; looked at anew at each start."),
    )
    priority = models.PositiveSmallIntegerField(
        _("priority"),
        default=0,
        help_text=_("Our own workers serve a higher one first: give it to a model's faster tier."),
    )
    position = models.PositiveSmallIntegerField(_("position"), default=100)
    # A copy of its upstreams: who reads this row to make a call needs no second look.
    more_upstreams = models.JSONField(default=list, editable=False)

    objects: ClassVar[models.Manager["ServedModel"]] = ServedModelQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name")
        verbose_name = _("model")
        verbose_name_plural = _("models")

    def __str__(self) -> str:
        return self.label


class Upstream(Served):
    """Another backend that serves a model, beside the one in the model's own row or when that one fails."""

    model = models.ForeignKey(
        ServedModel, on_delete=models.CASCADE, related_name="upstreams", verbose_name=_("model")
    )
    rank = models.PositiveSmallIntegerField(
        _("rank"),
        default=1,
        help_text=_("0 shares the work with the model's own backend; a higher one is asked when those fail."),
    )
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        ordering = ("model", "rank", "pk")
        verbose_name = _("upstream")
        verbose_name_plural = _("upstreams")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(weight__gte=1), name="upstream_weight_positive"),
        ]

    def __str__(self) -> str:
        return self.label

    def save(self, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(**kwargs)
            copy_upstreams(self.model_id)

    def delete(self, using: Any | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            told = super().delete(using=using, keep_parents=keep_parents)
            copy_upstreams(self.model_id)
        return told

    @property
    def label(self) -> str:
        """What people know it by."""
        return f"{self.upstream_name} ({urlsplit(self.base_url).netloc or self.get_backend_display()})"

    def as_json(self) -> dict[str, Any]:
        """Its own fields, from which an equal row can be made."""
        return model_to_dict(self, exclude=["model"])


def copy_upstreams(model_id: int) -> None:
    """Write a model's upstreams into its own row."""
    rows = Upstream.objects.filter(model=model_id, is_active=True).order_by("rank", "pk")
    ServedModel.objects.filter(pk=model_id).update(more_upstreams=[row.as_json() for row in rows])


class SearchEngine(models.Model):
    """A search engine that turns may ask, in the place of the one of its kind that the environment names."""

    class Kind(models.TextChoices):
        LOCAL = "local", _("Local index")
        SEARXNG = "searxng", "SearXNG"
        BRAVE = "brave", "Brave"
        TAVILY = "tavily", "Tavily"
        SERPER = "serper", "Serper"
        EXA = "exa", "Exa"
        VENDOR = "vendor", _("$web_search of the model's vendor (opaque)")

    kind = models.CharField(_("kind"), max_length=10, choices=Kind, unique=True)
    base_url = models.CharField(
        _("address"),
        max_length=200,
        blank=True,
        validators=[HTTP_ADDRESS],
        help_text=_("Of a SearXNG server. The others have addresses of their own: leave it empty."),
    )
    api_key_env = models.CharField(
        _("variable that holds the key"),
        max_length=60,
        blank=True,
        validators=[KEY_VARIABLE],
        help_text=_("The key itself is never stored here."),
    )
    price_per_search = models.DecimalField(
        _("price of a search"),
        max_digits=12,
        decimal_places=6,
        default=Decimal(0),
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("In the currency of the accounts. It counts in the turn's budget and on the bill."),
    )
    is_active = models.BooleanField(_("offered"), default=True, help_text=_("The operator's switch."))
    position = models.PositiveSmallIntegerField(_("position"), default=100)

    class Meta:
        ordering = ("position", "id")
        verbose_name = _("search engine")
        verbose_name_plural = _("search engines")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(price_per_search__gte=0), name="search_price_not_negative"),
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())
