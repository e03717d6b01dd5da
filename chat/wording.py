"""Why a turn ended, what the platform noted and why it asks, in the language of the person who reads."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.limits import Limit
from agents.tooling import policy
from agents.transcript import Note, NoteKind
from agents.verification.finding import Verdict
from chat.models import Attachment, Turn
from webapp.billing import daily, pricing


def of_limit(limit: Limit, turn: Turn) -> str:
    with translation.override(language(turn)):
        if limit is Limit.COST:
            cost = pricing.to_decimal(turn.max_cost_nano or 0).normalize() + Decimal(0)
            price = {"most": f"{cost:f}", "currency": turn.hold.account.currency}
            return _("Stopped at the cost limit of %(most)s %(currency)s.") % price
        said = {
            Limit.STEPS: (_("Stopped at the limit of %(most)d steps."), turn.max_steps),
            Limit.SECONDS: (_("Stopped at the time limit of %(most)d seconds."), turn.max_seconds),
            Limit.OUTPUT_TOKENS: (_("Stopped at the limit of %(most)d tokens."), turn.max_output_tokens),
            Limit.TOTAL_TOKENS: (
                _("Stopped at the limit of %(most)d tokens, read and written."),
                turn.max_total_tokens,
            ),
            Limit.SANDBOX_SECONDS: (
                _("Stopped at the limit of %(most)d seconds of computing by tools."),
                turn.max_sandbox_seconds,
            ),
            Limit.FETCHED_BYTES: (
                _("Stopped at the limit of %(most)d bytes fetched by tools."),
                turn.max_fetched_bytes,
            ),
        }
        if limit in said:
            words, most = said[limit]
            return words % {"most": most or 0}
        if limit is Limit.DAILY_COST:
            return _of_the_day(turn)
        if limit is Limit.FUNDS:
            return _("Stopped because the account has no more money for it. Ask an administrator for credit.")
        if limit is Limit.QUOTA:
            return _(
                "Stopped because the model's provider takes no requests for too long. Go on with it later."
            )
        if limit is Limit.CONTEXT:
            return _("Stopped because nothing more fits into what the model can read at once.")
        return _("Stopped because the model made the same calls again and again.")


def trouble(turn: Turn) -> str:
    with translation.override(language(turn)):
        return _("Something went wrong on our side, and the answer could not be completed. Try again.")


def language(turn: Turn) -> str:
    return turn.conversation.user.language or settings.LANGUAGE_CODE


# ---- what a turn's trace shows, in the language of the page


def of_note(note: Note) -> str:
    """What a note of the platform is about, in a line."""
    data = note.data
    if note.kind is NoteKind.BUDGET:
        return _of_budget(str(data.get("limit", "")), float(data.get("share", 0)))
    if note.kind is NoteKind.GUARD:
        return _("%(tool)s was called %(times)d times in the same way") % {
            "tool": data.get("tool", ""),
            "times": data.get("times", 0),
        }
    if note.kind is NoteKind.HIDDEN:
        return _("Earlier results were put away, up to step %(step)d") % {"step": data.get("through_step", 0)}
    if note.kind is NoteKind.HANDOFF:
        return _("The steps up to %(step)d were summed up to make room") % {
            "step": data.get("through_step", 0)
        }
    if note.kind is NoteKind.ROLLBACK:
        back = data.get("to_step", 0)
        return _("Went back to step %(step)d") % {"step": back} if back else _("Went back to the beginning")
    if note.kind is NoteKind.CHECK:
        return _of_check(note)
    if note.kind is NoteKind.PLAN:
        return _("You changed the plan")
    if note.kind is NoteKind.STEER:
        return _("You said: %(text)s") % {"text": data.get("said", "")}
    return _("The agents reported")


def _of_the_day(turn: Turn) -> str:
    day = daily.of(turn.hold.account)
    most = pricing.to_decimal(day.limit_nano or 0).normalize() + Decimal(0)
    values = {
        "most": f"{most:f}",
        "currency": turn.hold.account.currency,
        "renews": date_format(timezone.localtime(day.renews_at), "DATETIME_FORMAT"),
        "zone": timezone.get_current_timezone_name(),
    }
    return (
        _(
            "Stopped at the daily limit of %(most)s %(currency)s of your account. It renews at %(renews)s "
            "(%(zone)s): go on with it then."
        )
        % values
    )


def _of_budget(limit: str, share: float) -> str:
    names = {
        Limit.STEPS: _("steps"),
        Limit.SECONDS: _("time"),
        Limit.OUTPUT_TOKENS: _("written tokens"),
        Limit.TOTAL_TOKENS: _("tokens"),
        Limit.COST: _("money"),
        Limit.SANDBOX_SECONDS: _("computing time"),
        Limit.FETCHED_BYTES: _("bytes to fetch"),
        Limit.CONTEXT: _("room to read"),
        Limit.DAILY_COST: _("money a day"),
        Limit.FUNDS: _("money in the account"),
    }
    if limit == Limit.REPEATS:
        return _("The same calls again and again: the model was told to answer")
    name = next((words for known, words in names.items() if known == limit), limit)
    if share >= 1:
        return _("Limit reached (%(limit)s): the model was told to answer") % {"limit": name}
    return _("%(percent)d %% of the limit used (%(limit)s)") % {"percent": round(share * 100), "limit": name}


def _of_check(note: Note) -> str:
    num_bad = num_unsupported(note)
    if note.data.get("must_revise"):
        return _("This draft was sent back: nothing supports a part of it")
    if num_bad:
        return ngettext(
            "Checked: %(bad)d sentence is not supported",
            "Checked: %(bad)d sentences are not supported",
            num_bad,
        ) % {"bad": num_bad}
    return _("Checked: nothing speaks against the answer")


def unsupported(note: Note) -> list[dict[str, Any]]:
    """The findings of a check on sentences that nothing supports, or that something contradicts."""
    return [one for one in note.data.get("sentences", ()) if Verdict(one["verdict"]).is_bad]


def doubtful(note: Note) -> list[dict[str, Any]]:
    """Those, and the findings on sentences that could not be checked."""
    unchecked = [one for one in note.data.get("sentences", ()) if one["verdict"] == Verdict.UNCHECKED]
    return unsupported(note) + unchecked


def num_unsupported(note: Note) -> int:
    return len(unsupported(note))


def of_approval(tool: str) -> str:
    """The question that a waiting call asks: what is to be done, not the tool's name where it has words."""
    questions = {
        "run_python": _("Let it run a Python program?"),
        "shell": _("Let it run a command?"),
        "run_tests": _("Let it run the tests?"),
        "calculate": _("Let it calculate this?"),
        "read_file": _("Let it read a file?"),
        "write_file": _("Let it write a file?"),
        "edit_file": _("Let it change a file?"),
        "apply_patch": _("Let it change files?"),
        "rename_symbol": _("Let it rename this everywhere?"),
        "search_files": _("Let it search the files?"),
        "web_search": _("Let it search the web?"),
        "facts_query": _("Let it look up facts?"),
        "open_page": _("Let it open this page?"),
        "find_in_page": _("Let it look into this page?"),
        "ask_page": _("Let it question this page?"),
        "search_documents": _("Let it search your documents?"),
        "read_document": _("Let it read your document?"),
        "document": _("Let it write a document?"),
        "remember": _("Let it keep this in mind?"),
        "recall": _("Let it look back at an earlier result?"),
        "rollback": _("Let it go back to an earlier step?"),
        "spawn": _("Let it call agents?"),
    }
    return questions.get(tool) or _("Let it use “%(tool)s”?") % {"tool": named(tool)}


def named(tool: str) -> str:
    """A tool that has no words of ours, as it reads best: "fetch file", "send mail (of crm)"."""
    server, _sep, name = tool.removeprefix("mcp__").rpartition("__")
    words = name.replace("_", " ").replace("-", " ").strip() or tool
    return _("%(tool)s (of %(server)s)") % {"tool": words, "server": server} if server else words


def of_prompt(prompt: str) -> str:
    """Why a call waits for a person; what a tool itself asks stays as it is."""
    if prompt.startswith(policy.MADE_UP_ADDRESS):
        words = _(
            "The model has read text from outside and now made up this address, which could carry data away: "
        )
        return words + prompt.removeprefix(policy.MADE_UP_ADDRESS)
    known = {
        policy.BY_CONSENT: _("This tool is run only with your consent."),
        policy.AFTER_OUTSIDE_TEXT: _(
            "The model has read text from outside, which may have told it to do this."
        ),
    }
    return known.get(prompt, prompt)


# ---- uploaded files


def of_attachment(attachment: Attachment) -> str:
    """How far it is, and what is wrong with it or was left out."""
    if attachment.state == Attachment.State.FAILED:
        return _of_fault(attachment.fault)
    if attachment.state != Attachment.State.READY:
        return _("Reading…")
    return " ".join(filter(None, map(_of_left_out, attachment.notes)))


def _of_fault(fault: str) -> str:
    words = {
        "locked": _("Locked with a password. Remove the password and attach it again."),
        "damaged": _("Damaged, or not what its name says. Save it again and attach the new file."),
        "pictures": _("Its pages are pictures without text. Run text recognition over it first."),
        "picture": _("A picture: text on pictures is not read here. Describe it, or attach its text."),
        "no_text": _("No text was found on it. Describe it, or attach a sharper picture."),
        "bytes": _("Not a text, and no format that is read here."),
        "empty": _("There is no text in it."),
        "bomb": _("It unpacks to far more than it should: it may be made to do harm."),
        "nested": _("Archives in archives in archives are not read. Unpack it first."),
        "too_many_files": _("There are too many files in it. Attach those that matter."),
        "nothing_inside": _("Nothing in it can be read."),
        "old_office": _("An old Office file, or one with a password. Save it as .docx, .xlsx or PDF."),
        "slides": _("Slides are not read here. Save them as PDF."),
        "slow": _("It takes too long to be read. Split it."),
        "memory": _("It takes too much memory to be read. Split it."),
    }
    return words.get(fault, _("It could not be read. Remove it and attach it again."))


def _of_left_out(note: dict[str, Any]) -> str:
    kind = note.get("kind")
    if kind == "left_out":
        names = ", ".join(map(str, note.get("names") or ()))
        return _("Not read: %(names)s.") % {"names": names[:300]}
    if kind == "pages_damaged":
        num = int(note.get("num") or 0)
        return ngettext("%(num)d page is damaged.", "%(num)d pages are damaged.", num) % {"num": num}
    if kind == "recognised":
        return _("Text recognised on pictures: letters may be wrong.")
    if kind == "pages_unseen":
        num = int(note.get("num") or 0)
        return ngettext(
            "%(num)d page is a picture that was not read.",
            "%(num)d pages are pictures that were not read.",
            num,
        ) % {"num": num}
    if kind == "cut" and isinstance(note.get("page"), list) and len(note["page"]) == 2:
        return _("Only the first %(done)s of %(all)s pages were read.") % {
            "done": note["page"][0],
            "all": note["page"][1],
        }
    return _("Only its beginning was read.") if kind in ("cut", "broken_off") else ""
