"""Addresses of the chat's pages and of the fragments that the pages swap."""

from django.urls import path

from chat import (
    attachment_views,
    preview_views,
    search_views,
    source_views,
    turn_views,
    views,
    workspace_views,
)

urlpatterns = [
    path("", views.new_chat, name="chat"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/head/", views.head, name="head"),
    path("c/<uuid:conversation_id>/rename/", views.rename, name="rename"),
    path("c/<uuid:conversation_id>/delete/", views.delete, name="delete"),
    path("c/<uuid:conversation_id>/thread/", views.thread, name="thread"),
    path("c/<uuid:conversation_id>/files/", workspace_views.files, name="files"),
    path("c/<uuid:conversation_id>/files.zip", workspace_views.files_zip, name="files_zip"),
    path("c/<uuid:conversation_id>/files/<path:path>", workspace_views.file, name="file"),
    path("c/<uuid:conversation_id>/preview/<path:path>", preview_views.panel, name="preview"),
    path("c/<uuid:conversation_id>/alone/<path:path>", preview_views.alone, name="preview_alone"),
    path("preview/lib/<path:name>", preview_views.library, name="preview_library"),
    path("preview/<str:token>/<path:path>", preview_views.framed, name="preview_file"),
    path("turns/<uuid:turn_id>/", turn_views.turn, name="turn"),
    path("turns/<uuid:turn_id>/parts/<slug:name>/", turn_views.part, name="turn_part"),
    path("turns/<uuid:turn_id>/steps/<int:first>-<int:last>/", turn_views.steps, name="turn_steps"),
    path("turns/<uuid:turn_id>/figures/", turn_views.figures, name="figures"),
    path("turns/<uuid:turn_id>/result/", turn_views.result, name="turn_result"),
    path("turns/<uuid:turn_id>/decide/", turn_views.decide, name="decide"),
    path("turns/<uuid:turn_id>/plan/", turn_views.plan, name="edit_plan"),
    path("turns/<uuid:turn_id>/continue/", turn_views.go_on, name="continue"),
    path("turns/<uuid:turn_id>/show/", views.show_branch, name="show_branch"),
    path("turns/<uuid:turn_id>/sources/", source_views.sources, name="sources"),
    path("turns/<uuid:turn_id>/audit/", turn_views.audit_log, name="audit"),
    path("turns/<uuid:turn_id>/graph/", turn_views.reasoning_graph, name="reasoning_graph"),
    path("artifacts/<uuid:artifact_id>/", turn_views.artifact, name="artifact"),
    path("attachments/", attachment_views.upload, name="upload"),
    path("attachments/<uuid:attachment_id>/", attachment_views.one, name="attachment"),
    path("attachments/<uuid:attachment_id>/file/", attachment_views.download, name="attachment_file"),
    path("search/", search_views.page, name="search"),
    path("search/hits/", search_views.hits, name="search_hits"),
    path("turns/<uuid:turn_id>/at/", search_views.at_turn, name="at_turn"),
    path("sidebar/", views.sidebar, name="sidebar"),
]
