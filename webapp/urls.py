"""HTTP routes; docs/protocol.md describes each."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import RedirectView

from webapp import accounts, errors, views
from webapp.imagery import tiles
from webapp.people import administration, join_page, own_page
from webapp.rest.api import api

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.page_not_found
handler500 = errors.server_error

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="projects")),
    path("projects/", views.projects, name="projects"),
    path("projects/<int:project_id>/", views.map_page, name="project"),
    path("jobs/", views.jobs, name="jobs"),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", login_not_required(LogoutView.as_view()), name="logout"),
    path("accounts/", own_page.account, name="account"),
    path("accounts/password/", own_page.PasswordPage.as_view(), name="password_change"),
    path("accounts/password/reset/", own_page.ResetPage.as_view(), name="password_reset"),
    path("accounts/password/reset/sent/", own_page.ResetSentPage.as_view(), name="password_reset_done"),
    path(
        "accounts/password/reset/<uidb64>/<token>/",
        own_page.ResetConfirmPage.as_view(),
        name="password_reset_confirm",
    ),
    path("accounts/people/", administration.people, name="people"),
    path("accounts/people/<int:user_id>/", administration.person, name="person"),
    path("join/<str:token>/", join_page.join, name="join"),
    path("enter/<str:token>/", accounts.enter, name="enter"),
    path("healthz", views.healthz, name="healthz"),
    path("tiles/<int:scene_id>/<int:z>/<int:x>/<int:y>", tiles.tile, name="tile"),
    path("tiles/<int:scene_id>/<int:z>/<int:x>/<int:y>.<str:suffix>", tiles.tile, name="tile-suffix"),
    path("api/", api.urls),
]
