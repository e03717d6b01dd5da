"""Charts as pictures. For the process of the press alone."""

import io
from typing import Any, Literal

import msgspec

WIDTH, HEIGHT, DPI = 7.2, 4.2, 200  # inches; the picture is 1,440 dots wide
COLOURS = ("#1263d6", "#e07b00", "#0e7a38", "#b3352a", "#7a4fc9", "#008a9a", "#8f5200", "#5c5c5c")
INK, MUTED, LINE = "#1a1a1a", "#5c5c5c", "#e3e3e3"
# The first that is there, then those that have the characters which it lacks.
FONTS = ("Inter", "Noto Sans", "Liberation Sans", "DejaVu Sans")
FURTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "DejaVu Sans",
)
MAX_TURNED = 12  # labels that stand side by side; more are written aslant
MAX_LABELS = 30

Kind = Literal["line", "bar", "scatter", "pie", "histogram"]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    values: tuple[float | None, ...]


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """`places` are numbers where the values stand on a scale, `labels` their words where they do not. A
    histogram counts the values of its series."""

    kind: Kind
    series: tuple[Series, ...]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    labels: tuple[str, ...] = ()
    places: tuple[float | None, ...] = ()
    is_stacked: bool = False
    is_log: bool = False


def draw(plot: Plot) -> bytes:
    """A PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    with mpl.rc_context(_settings()):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        _DRAWN[plot.kind](axes, plot)
        _dress(figure, axes, plot)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
        return out.getvalue()


def _settings() -> dict[str, Any]:
    from cycler import cycler
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    own = next((name for name in FONTS if name in there), "DejaVu Sans")
    return {
        "font.family": [own, *(name for name in FURTHER_FONTS if name in there and name != own)],
        "font.size": 9.5,
        "text.parse_math": False,  # a title may speak of $5 and of $6
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": "#858585",
        "axes.unicode_minus": True,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "grid.color": LINE,
        "legend.frameon": False,
    }


def _dress(figure: Any, axes: Any, plot: Plot) -> None:
    if plot.title:
        axes.set_title(plot.title, loc="left", fontsize=12, fontweight="bold", pad=12, wrap=True)
    if plot.kind == "pie":
        return
    axes.grid(axis="both" if plot.kind == "scatter" else "y", linewidth=0.8)
    axes.tick_params(length=0)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    if plot.is_log:
        axes.set_yscale("log")
    else:
        axes.yaxis.set_major_formatter(_figures)
    if len(plot.series) > 1:
        figure.legend(loc="outside lower left", ncols=min(len(plot.series), 4))


def _figures(value: float, _position: int) -> str:
    """As people write numbers: 12,500; 0.25; 1.5e+13."""
    if abs(value) >= 1e13:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def _on_scale(axes: Any, places: tuple[float | None, ...]) -> None:
    """Whole numbers get no halves between them, and years no commas."""
    known = [place for place in places if place is not None]
    if known and all(place == round(place) for place in known):
        axes.xaxis.get_major_locator().set_params(integer=True)
    are_years = bool(known) and min(known) >= 1000 and max(known) < 3000
    axes.xaxis.set_major_formatter((lambda value, _: f"{value:g}") if are_years else _figures)


def _line(axes: Any, plot: Plot) -> None:
    places = _places(axes, plot)
    for one in plot.series:
        few = len(one.values) <= 40
        axes.plot(places, _holes(one.values), label=one.name, linewidth=2, marker="o" if few else "", ms=4)
    if plot.is_stacked is False and not plot.is_log and min(_known(plot)) >= 0:
        axes.set_ylim(bottom=0 if min(_known(plot)) < 0.5 * max(_known(plot)) else None)


def _scatter(axes: Any, plot: Plot) -> None:
    places = _places(axes, plot)
    for one in plot.series:
        axes.scatter(places, _holes(one.values), label=one.name, s=26, alpha=0.85, linewidths=0)


def _bar(axes: Any, plot: Plot) -> None:
    labels = plot.labels or tuple(_figures(place, 0) if place is not None else "" for place in plot.places)
    rows = range(len(labels))
    bottoms = [[0.0] * len(labels), [0.0] * len(labels)]  # of what stands above the line, and below it
    width = 0.8 if plot.is_stacked else 0.8 / len(plot.series)
    for index, one in enumerate(plot.series):
        values = [value or 0.0 for value in one.values]
        if plot.is_stacked:
            bottom = [bottoms[value < 0][row] for row, value in enumerate(values)]
            axes.bar(rows, values, width, bottom=bottom, label=one.name)
            for row, value in enumerate(values):
                bottoms[value < 0][row] += value
        else:
            shift = (index - (len(plot.series) - 1) / 2) * width
            axes.bar([row + shift for row in rows], values, width, label=one.name)
    _write_labels(axes, labels)


def _pie(axes: Any, plot: Plot) -> None:
    values = [value or 0.0 for value in plot.series[0].values]
    _, _, shares = axes.pie(
        values,
        labels=plot.labels,
        colors=COLOURS,
        autopct=lambda share: f"{share:.1f}%" if share >= 3 else "",
        startangle=90,
        counterclock=False,
        pctdistance=0.8,
        wedgeprops={"linewidth": 1, "edgecolor": "white", "width": 0.42},
        textprops={"fontsize": 9},
    )
    for share in shares:
        share.set_color("white")


def _histogram(axes: Any, plot: Plot) -> None:
    values = [[value for value in one.values if value is not None] for one in plot.series]
    bins = min(max(round(len(max(values, key=len)) ** 0.5), 5), 60)
    axes.hist(values, bins=bins, label=[one.name for one in plot.series], linewidth=0.6, edgecolor="white")
    axes.xaxis.set_major_formatter(_figures)


_DRAWN = {"line": _line, "bar": _bar, "scatter": _scatter, "pie": _pie, "histogram": _histogram}


def _places(axes: Any, plot: Plot) -> list[float]:
    if plot.places:
        _on_scale(axes, plot.places)
        return _holes(plot.places)
    _write_labels(axes, plot.labels)
    return [float(row) for row in range(len(plot.labels))]


def _write_labels(axes: Any, labels: tuple[str, ...]) -> None:
    """Side by side or aslant; of very many only some."""
    every = -(-len(labels) // MAX_LABELS)
    rows = range(0, len(labels), every)
    shown = [label if len(label) <= 28 else f"{label[:27]}…" for label in labels[::every]]
    is_long = len(shown) > MAX_TURNED or sum(len(label) for label in shown) > 90
    aslant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
    axes.set_xticks(rows, shown, **aslant)


def _holes(values: tuple[float | None, ...]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _known(plot: Plot) -> list[float]:
    return [value for one in plot.series for value in one.values if value is not None] or [0.0]
