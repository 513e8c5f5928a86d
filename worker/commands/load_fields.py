"""What the fields of a file mean: numbers, moments, truth values and text.

A field is plain if PostgreSQL and everybody else reads it in one way only, whatever the settings.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

Kind = Literal["text", "whole", "number", "truth", "moment", "local moment", "date"]

# An empty field is unknown in each column; these are in a column that holds no text.
_UNKNOWN = {"", "null", "na", "n/a", "#n/a", "nan", "<na>", "nat", "none", "\\n"}
_TRUTHS = {
    **dict.fromkeys(("t", "true", "y", "yes", "on", "1", "1.0"), "t"),
    **dict.fromkeys(("f", "false", "n", "no", "off", "0", "0.0"), "f"),
}
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[ Tt](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)\s?([Zz]|UTC|GMT|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?)?"
    r"|(\d{8})(?:[Tt](\d{6}|\d{4})([Zz]|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_EPOCH = re.compile(r"(\d{9,20})(?:\.(\d+))?", re.ASCII)
# An epoch lies between 2000 and 2100: so its size tells its unit, and 20240506120000 is none.
_FIRST_EPOCH, _LAST_EPOCH = 946_684_800, 4_102_444_800
_EPOCHS = {"seconds": 0, "milliseconds": 3, "microseconds": 6, "nanoseconds": 9}
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]++|)|)"  # a choice is faster than a question mark
_PLAIN: dict[Kind, str] = {
    "text": r'(?!\s)[^\\\n\r\t;,|\0"]+(?<!\s)',
    "whole": "[+-]?[0-9]++",
    "number": r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?",
    "truth": "[01tf]|true|false|True|False|TRUE|FALSE",
    "moment": rf"{_DATE}(?:{_TIME}(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}}|)|)|)",
    "local moment": f"{_DATE}(?:{_TIME}|)",
    "date": _DATE,
}
_NUMBER = re.compile(_PLAIN["number"])
_PLAIN_COLUMNS = {kind: re.compile(f"(?:(?:{one}|)\n)*+") for kind, one in _PLAIN.items()}
# What PostgreSQL takes of these signs is a number; to see no more than that is twice as fast.
_LIKELY: dict[Kind, str] = {kind: f"(?:{one}|)" for kind, one in _PLAIN.items()}
_LIKELY |= {"whole": "[-+0-9]*+", "number": "[-+.0-9eE]*+"}
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", ";": "\\;", ",": "\\,", "|": "\\|"}
_ESCAPED = str.maketrans(_ESCAPES)
_WRITE_MOMENT = (
    "is not read as a moment, because it can mean several or none: write 2024-05-06 12:00:00+00 (ISO 8601), "
    "or an epoch in seconds, milliseconds or microseconds"
)


class FieldError(Exception):
    """A field cannot be what its column holds.

    Attributes:
        index: of the field in its column.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


@dataclass
class Reading:
    """How fields are read, as far as the file itself has shown.

    Attributes:
        commas: whether a number may have a decimal comma.
        decimal: the sign that numbers have had so far.
        doubtful: a number that may be of thousands, 1,234, as long as no other has shown the sign.
        notes: what the user should know, by subject.
    """

    commas: bool
    decimal: str = ""
    doubtful: str = ""
    notes: dict[str, str] = field(default_factory=dict)


def plain_lines(
    delimiter: str, kinds: Sequence[Kind], key: Collection[int], *, quoted: bool
) -> re.Pattern[str]:
    """Lines whose fields are plain, but for a number that PostgreSQL refuses.

    Args:
        delimiter: what separates the fields.
        kinds: of the columns.
        key: places of the columns that may not be empty.
        quoted: whether there are quotes at all.
    """
    fields = [f"(?:{_PLAIN[kind]})" if place in key else _LIKELY[kind] for place, kind in enumerate(kinds)]
    if quoted:
        fields = [f'(?:"{one}"|{one})' for one in fields]
    return re.compile(f"(?:{re.escape(delimiter).join(fields)}\n)*+")


def is_moment(text: str) -> bool:
    """Whether a field could be a moment."""
    return bool(_ISO.fullmatch(text.strip()) or _EPOCH.fullmatch(text.strip()))


def convert(kind: Kind, fields: Sequence[str], reading: Reading) -> Sequence[str]:
    """Fields as COPY's text format takes them; an empty one is NULL.

    Raises:
        FieldError: one is not of this kind; the first is told.
    """
    column = "".join(f"{text}\n" for text in fields)
    if (
        not (kind == "number" and reading.commas)
        and column.count("\n") == len(fields)
        and _PLAIN_COLUMNS[kind].fullmatch(column)
    ):
        return fields
    one = _CONVERT[kind]
    converted: dict[str, str] = {}
    for index, text in enumerate(fields):
        if text not in converted:
            try:
                converted[text] = one(text.strip(), reading)
            except ValueError as error:
                raise FieldError(index, f"{_short(text)} {error}") from None
    return [converted[text] for text in fields]


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _text(text: str, _reading: Reading) -> str:
    if "\0" in text:
        raise ValueError("has a byte of zero, which text cannot have")
    return text.translate(_ESCAPED)


def _number(text: str, reading: Reading) -> str:
    if text.casefold() in _UNKNOWN:
        return ""
    if sign := _decimal_sign(text, reading):
        if reading.decimal not in ("", sign):
            raise ValueError(
                f"has {_SIGNS[sign]} where other numbers have {_SIGNS[reading.decimal]}, so it can mean two; "
                "write all with a decimal point and without thousands separators"
            )
        reading.doubtful = reading.doubtful if reading.decimal else text
        reading.decimal = sign
        if not _THOUSANDS.fullmatch(text):
            reading.doubtful = ""
        if sign == ",":
            reading.notes["decimal"] = "The comma in numbers was read as the decimal point."
            text = text.replace(",", ".")
    if _NUMBER.fullmatch(text):
        return text
    if "inf" in text.casefold() or "∞" in text:
        raise ValueError("is no finite number; leave the field empty for an unknown value")
    raise ValueError(
        "is not a number; write 1234.5 or 1e-05, without thousands separators, units or percent signs, "
        "and leave the field empty for an unknown value"
    )


_SIGNS = {",": "a comma", ".": "a point"}


def _decimal_sign(text: str, reading: Reading) -> str:
    """The sign before the fraction, where the file may have commas."""
    if not reading.commas or text.count(",") + text.count(".") != 1:
        return ""
    return "," if "," in text else "."


def _whole(text: str, reading: Reading) -> str:
    number = _number(text, reading)
    if not number or number.lstrip("+-").isdigit():
        return number
    value = Decimal(number)
    if abs(value.adjusted()) > 30 or value != value.to_integral_value():
        raise ValueError("is not a whole number, which this column holds")
    return str(int(value))


def _truth(text: str, _reading: Reading) -> str:
    word = text.casefold()
    if word in _UNKNOWN:
        return ""
    if word not in _TRUTHS:
        raise ValueError("is neither true nor false; write t or f")
    return _TRUTHS[word]


def _moment(text: str, reading: Reading) -> str:
    if text.casefold() in _UNKNOWN:
        return ""
    if iso := _ISO.fullmatch(text):
        date, time, zone = (iso[4], iso[5], iso[6]) if iso[4] else (iso[1], iso[2], iso[3])
        if iso[4]:
            date = f"{date[:4]}-{date[4:6]}-{date[6:]}"
            time = time and ":".join(time[at : at + 2] for at in range(0, len(time), 2))
        zone = "+00" if zone in (None, "Z", "z", "UTC", "GMT") else zone
        return f"{date} {(time or '00:00').replace(',', '.')}{zone}"
    if epoch := _EPOCH.fullmatch(text):
        return _from_epoch(text, epoch[1], epoch[2] or "", reading)
    raise ValueError(_WRITE_MOMENT)


def _from_epoch(text: str, digits: str, fraction: str, reading: Reading) -> str:
    for unit, decimals in _EPOCHS.items():
        whole = digits[: len(digits) - decimals]
        if whole and _FIRST_EPOCH <= int(whole) < _LAST_EPOCH:
            rest = f"{digits[len(whole) :]}{fraction}".rstrip("0")
            second = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(whole))
            moment = f"{second:%Y-%m-%d %H:%M:%S}{'.' if rest else ''}{rest}+00"
            reading.notes.setdefault(unit, f"Moments were read as epochs in {unit}: {text} is {moment}.")
            return moment
    raise ValueError(_WRITE_MOMENT)


def _local_moment(text: str, reading: Reading) -> str:
    """UTC without a zone, as a column without one holds it."""
    moment = _moment(text, reading)
    if not moment or moment.endswith("+00"):
        return moment.removesuffix("+00")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    except (ValueError, OverflowError):
        raise ValueError(_WRITE_MOMENT) from None


def _date(text: str, _reading: Reading) -> str:
    if text.casefold() in _UNKNOWN:
        return ""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise ValueError("is not a date like 2024-05-06")
    return text


_CONVERT: dict[Kind, Callable[[str, Reading], str]] = {
    "text": _text,
    "whole": _whole,
    "number": _number,
    "truth": _truth,
    "moment": _moment,
    "local moment": _local_moment,
    "date": _date,
}
