"""Addresses of sign-up, sign-in, password reset and settings."""

from django.urls import path

from webapp.accounts import team_views, views

urlpatterns = [
    path("sign-up/", views.SignUp.as_view(), name="sign_up"),
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
    path("sign-in/here/", views.SignInHere.as_view(), name="sign_in_here"),
    path("sign-out/", views.SignOut.as_view(), name="sign_out"),
    path("password/reset/", views.PasswordReset.as_view(), name="password_reset"),
    path("password/reset/sent/", views.PasswordResetSent.as_view(), name="password_reset_done"),
    path(
        "password/reset/<uidb64>/<token>/",
        views.PasswordResetConfirm.as_view(),
        name="password_reset_confirm",
    ),
    path("password/reset/done/", views.PasswordResetComplete.as_view(), name="password_reset_complete"),
    path("settings/", views.general, name="settings"),
    path("settings/keys/", views.keys_and_usage, name="keys_and_usage"),
    path("settings/keys/create/", views.create_key, name="create_key"),
    path("settings/keys/<uuid:key_id>/revoke/", views.revoke_key, name="revoke_key"),
    path("settings/keys/voucher/", team_views.redeem, name="redeem_voucher"),
    path("settings/invoices/<str:number>.<str:kind>", team_views.invoice, name="invoice"),
    path("settings/teams/", team_views.index, name="teams"),
    path("settings/teams/<uuid:team_id>/", team_views.show, name="team"),
    path("settings/teams/<uuid:team_id>/members/", team_views.add_member, name="add_member"),
    path(
        "settings/teams/<uuid:team_id>/invitations/<int:invitation_id>/",
        team_views.withdraw_invitation,
        name="withdraw_invitation",
    ),
    path("invitations/<str:token>/", team_views.invitation, name="invitation"),
    path(
        "settings/teams/<uuid:team_id>/members/<int:membership_id>/",
        team_views.change_member,
        name="change_member",
    ),
    path("settings/teams/<uuid:team_id>/projects/", team_views.add_project, name="add_project"),
    path(
        "settings/teams/<uuid:team_id>/projects/<uuid:project_id>/",
        team_views.archive_project,
        name="archive_project",
    ),
    path("settings/teams/<uuid:team_id>/keys/", team_views.create_key, name="create_team_key"),
    path("settings/teams/<uuid:team_id>/keys/<uuid:key_id>/", team_views.change_key, name="change_team_key"),
    path("settings/teams/<uuid:team_id>/budget/", team_views.set_budget, name="set_budget"),
    path("settings/teams/<uuid:team_id>/voucher/", team_views.redeem_for_team, name="redeem_for_team"),
]
