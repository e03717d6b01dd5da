"""Units of measure and money: what a word behind or before a number means, and how units compare. A table."""

import re
from dataclasses import dataclass
from fractions import Fraction

PERCENT = "percent"
POINTS = "percentage points"


@dataclass(frozen=True)
class Unit:
    """`factor` to the dimension's first unit, `offset` added after it (temperatures). Quantities of different
    dimensions are never the same."""

    dimension: str
    factor: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def to_first(self, value: Fraction) -> Fraction:
        return value * self.factor + self.offset


# Dimension, factor to its first unit, names.
_ROWS = (
    ("length", "1", "m metre metres meter meters 米"),
    ("length", "1000", "km kilometre kilometres kilometer kilometers 公里 千米"),
    ("length", "0.01", "cm centimetre centimetres centimeter centimeters 厘米"),
    ("length", "0.001", "mm millimetre millimetres millimeter millimeters 毫米"),
    ("length", "0.000001", "µm μm micrometre micrometres micrometer micrometers micron microns 微米"),
    ("length", "0.000000001", "nm nanometre nanometres nanometer nanometers 纳米"),
    ("length", "1609.344", "mi mile miles 英里"),
    ("length", "0.3048", "ft foot feet 英尺"),
    ("length", "0.0254", "inch inches 英寸"),
    ("length", "0.9144", "yd yard yards"),
    ("area", "1", "m² m2 sqm 平方米"),
    ("area", "1000000", "km² km2 sqkm 平方公里 平方千米"),
    ("area", "10000", "ha hectare hectares 公顷"),
    ("area", "4046.8564224", "acre acres 英亩"),
    ("area", "2589988.110336", "sqmi"),
    ("volume", "1", "l litre litres liter liters 升"),
    ("volume", "0.001", "ml millilitre millilitres milliliter milliliters 毫升"),
    ("volume", "1000", "m³ m3 立方米"),
    ("mass", "1", "kg kilogram kilograms 公斤 千克"),
    ("mass", "0.001", "g gram grams gramme grammes 克"),
    ("mass", "0.000001", "mg milligram milligrams 毫克"),
    ("mass", "1000", "t tonne tonnes 吨"),
    ("mass", "0.45359237", "lb lbs 磅"),
    ("time", "1", "s sec secs second seconds 秒"),
    ("time", "0.001", "ms millisecond milliseconds 毫秒"),
    ("time", "60", "min mins minute minutes 分钟"),
    ("time", "3600", "h hr hrs hour hours 小时"),
    ("time", "86400", "day days 天"),
    ("time", "604800", "week weeks 周"),
    ("time", "2629800", "month months 个月"),
    ("time", "31557600", "yr yrs year years"),
    ("data", "1", "byte bytes"),
    ("data", "1000", "kb"),
    ("data", "1000000", "mb"),
    ("data", "1000000000", "gb"),
    ("data", "1000000000000", "tb"),
    ("power", "1", "w watt watts 瓦"),
    ("power", "1000", "kw kilowatt kilowatts 千瓦"),
    ("power", "1000000", "mw megawatt megawatts 兆瓦"),
    ("power", "1000000000", "gw gigawatt gigawatts 吉瓦"),
    ("energy", "1", "j joule joules"),
    ("energy", "1000", "kj kilojoule kilojoules"),
    ("energy", "3600", "wh"),
    ("energy", "3600000", "kwh 千瓦时"),
    ("energy", "3600000000", "mwh"),
    ("energy", "3600000000000", "gwh"),
    ("energy", "3600000000000000", "twh"),
    ("frequency", "1", "hz hertz"),
    ("frequency", "1000", "khz"),
    ("frequency", "1000000", "mhz"),
    ("frequency", "1000000000", "ghz"),
    ("speed", "1", "m/s"),
    ("speed", "0.2777777777777778", "km/h kph kmh"),
    ("speed", "0.44704", "mph"),
    ("USD", "1", "$ us$ usd dollar dollars 美元"),
    ("USD", "0.01", "cent cents"),
    ("EUR", "1", "€ eur euro euros 欧元"),
    ("GBP", "1", "£ gbp sterling 英镑"),
    ("JPY", "1", "jpy yen 日元"),
    ("CNY", "1", "cny rmb yuan renminbi 元 人民币"),
    ("INR", "1", "₹ inr rupee rupees 卢比"),
    (PERCENT, "1", "% percent ％"),
    (PERCENT, "0.1", "‰"),
    (POINTS, "1", "pp 个百分点 百分点"),
)


def _table() -> dict[str, Unit]:
    table = {
        word: Unit(dimension, Fraction(factor))
        for dimension, factor, words in _ROWS
        for word in words.split()
    }
    table["square kilometres"] = table["square kilometers"] = table["sq km"] = table["km²"]
    table["square metres"] = table["square meters"] = table["sq m"] = table["m²"]
    table["square miles"] = table["sq mi"] = table["sqmi"]
    table["percentage points"] = table["percentage point"] = table["pp"]
    table["per cent"] = table["%"]
    table["kilometres per hour"] = table["kilometers per hour"] = table["km/h"]
    table["miles per hour"] = table["mph"]
    table["metric tons"] = table["metric tonnes"] = table["t"]
    celsius = Unit("temperature")
    fahrenheit = Unit("temperature", Fraction(5, 9), Fraction(-160, 9))
    table |= dict.fromkeys(("°c", "℃", "degrees celsius", "摄氏度"), celsius)
    table |= dict.fromkeys(("°f", "℉", "degrees fahrenheit", "华氏度"), fahrenheit)
    return table


_UNITS = _table()
# Case decides between mega and milli, day and degree; these few mean something else when written so.
_KELVIN = Unit("temperature", offset=Fraction("-273.15"))
_BY_CASE = dict.fromkeys("TMSGH") | {"K": _KELVIN}
_WORDS = sorted(_UNITS, key=len, reverse=True)
_LATIN = "|".join(re.escape(word) for word in _WORDS if word.isascii() and word[-1].isalnum())
_OTHER = "|".join(re.escape(word) for word in _WORDS if not (word.isascii() and word[-1].isalnum()))
BEHIND = re.compile(
    rf"[ \u00a0\u202f-]?(?:(?P<latin>(?i:{_LATIN})|K)(?![A-Za-z0-9²³])|(?P<other>(?i:{_OTHER}))(?!\d))"
)
BEFORE = re.compile(r"(US\$|\$|€|£|₹|USD|EUR|GBP|JPY|CNY|RMB|INR)[ \u00a0]?$")


def behind(text: str, at: int) -> tuple[Unit | None, int]:
    """The unit that begins at `at`, a space before it allowed, and where it ends."""
    match = BEHIND.match(text, at)
    if match is None:
        return None, at
    word = match["latin"] or match["other"]
    unit = _BY_CASE[word] if word in _BY_CASE else _UNITS[" ".join(word.lower().split())]
    return (unit, match.end()) if unit else (None, at)


def before(text: str, at: int) -> Unit | None:
    """The currency that ends at `at`."""
    match = BEFORE.search(text[max(0, at - 5) : at])
    return _UNITS[match[1].lower()] if match else None
