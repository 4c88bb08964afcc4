"""The API's paths, v1. No trailing slashes."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from devices.api.views import DeviceFileView
from messaging.api import views

app_name = "api"

urlpatterns = [
    path("", views.RootView.as_view(), name="root"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="api:schema"), name="docs"),
    path("devices", views.LiveDeviceListView.as_view(), name="devices"),
    path("devices/<str:device_id>", views.LiveDeviceView.as_view(), name="device"),
    path("devices/<str:device_id>/files/<str:name>", DeviceFileView.as_view(), name="device-file"),
    path("devices/<str:device_id>/commands", views.CommandsView.as_view(), name="commands"),
    path("devices/<str:device_id>/status", views.StatusView.as_view(), name="status"),
    path("devices/<str:device_id>/restart", views.RestartView.as_view(), name="restart"),
    path("devices/<str:device_id>/gpio/<int:number>", views.PinView.as_view(), name="gpio"),
    path("devices/<str:device_id>/rtc", views.ClockView.as_view(), name="rtc"),
    path("devices/<str:device_id>/ethernet", views.EthernetView.as_view(), name="ethernet"),
    path("devices/<str:device_id>/uart", views.UartView.as_view(), name="uart"),
    path("devices/<str:device_id>/notifications", views.NotificationsView.as_view(), name="notifications"),
    path("messages", views.HistoryView.as_view(), name="messages"),
    re_path(r"^.*$", views.unknown_path),
]
