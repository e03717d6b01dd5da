"""The paths of a turn for its template."""

from django import template

from chat import lanes

register = template.Library()
register.simple_tag(lanes.of, name="lanes_of")
