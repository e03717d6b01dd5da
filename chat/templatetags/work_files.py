"""What the templates of the work folder ask: its files as a tree, their sizes, what each is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from chat import previews
from chat.workspaces import WorkFile

register = template.Library()

ICONS = {"page": "play", "picture": "image", "table": "chart", "markdown": "answer"}


@dataclass(kw_only=True)
class Entry:
    """A folder with its entries, or a file."""

    name: str
    path: str
    file: WorkFile | None = None
    entries: "list[Entry]" = field(default_factory=list)

    @property
    def icon(self) -> str:
        return ICONS.get(previews.kind_of(self.path), "file")


@register.filter
def as_tree(files: Sequence[WorkFile]) -> list[Entry]:
    """Folders before files, each by name."""
    top = Entry(name="", path="")
    folders = {"": top}
    for file in files:
        *parents, name = file.path.split("/")
        folder = top
        for depth, parent in enumerate(parents, start=1):
            path = "/".join(parents[:depth])
            if path not in folders:
                folders[path] = Entry(name=parent, path=path)
                folder.entries.append(folders[path])
            folder = folders[path]
        folder.entries.append(Entry(name=name, path=file.path, file=file))
    for folder in folders.values():
        folder.entries.sort(key=lambda entry: (entry.file is not None, entry.name.lower()))
    return top.entries


@register.filter
def size(num_bytes: int) -> str:
    """ "812 B", "4.1 KB", "2 MB"."""
    if num_bytes < 1000:
        return _("%(figure)s B") % {"figure": num_bytes}
    figure, unit = num_bytes / 1000, "KB"
    if figure >= 1000:
        figure, unit = figure / 1000, "MB"
    return f"{number_format(round(figure, 1) if figure < 10 else round(figure), use_l10n=True)} {unit}"


@register.filter
def files_version(files: Sequence[WorkFile]) -> str:
    return previews.version_of(files)
