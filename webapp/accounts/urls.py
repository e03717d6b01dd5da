"""Addresses of sign-up, sign-in, password reset and settings."""

from django.urls import path

from webapp.accounts import views

urlpatterns = [
    path("sign-up/", views.SignUp.as_view(), name="sign_up"),
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
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
]
