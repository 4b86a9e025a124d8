//! What a device tells unasked: which events it knows, and the stream of them.

use super::{device, xml::Element};
use crate::{
    serve::{Body, Response},
    sim::{
        DeviceKind, Running,
        state::{Alert, Device},
    },
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use std::sync::Arc;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until},
};

/// `Event/triggers`: motion, of every channel.
pub(super) fn triggers(device: &Device) -> Element {
    let input = match device.options.kind {
        DeviceKind::Camera => "videoInputChannelID",
        DeviceKind::Nvr | DeviceKind::Gateway => "dynVideoInputChannelID",
    };
    let trigger = |number: u32| {
        let how = Element::new("EventTriggerNotification")
            .with("id", "center")
            .with("notificationMethod", "center")
            .with("notificationRecurrence", "beginning");
        Element::new("EventTrigger")
            .with("id", format!("VMD-{number}"))
            .with("eventType", "VMD")
            .with("eventDescription", "VMD Event trigger Information")
            .with(input, number)
            .child(Element::new("EventTriggerNotificationList").child(how))
    };
    Element::new("EventTriggerList").children(device.listed().map(|(c, _)| trigger(c.number)))
}

/// `Event/notification/alertStream`: a response that ends when the client or the device goes.
pub(super) fn stream(running: &Running) -> Response {
    let device = running.device.clone();
    let alerts = device.alerts.subscribe();
    let first = device.options.clock.now();
    let parts = stream::unfold((device, alerts, first, 0u64), |(device, mut alerts, heartbeat, count)| async move {
        let alert = next(&mut alerts, heartbeat).await?;
        let beat = if alert.is_none() { device.options.clock.now() + device.options.heartbeat } else { heartbeat };
        let part = part(&device, alert, count);
        Some((Ok(part), (device, alerts, beat, count + 1)))
    });
    let mut response = Response::new(Body::unsized_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("multipart/mixed; boundary=boundary"));
    headers.insert(header::SERVER, HeaderValue::from_static("App-webs/"));
    response
}

/// The next alert, or `Some(None)` where a heartbeat is due.
async fn next(alerts: &mut Receiver<Alert>, heartbeat: Instant) -> Option<Option<Alert>> {
    loop {
        tokio::select! {
            alert = alerts.recv() => match alert {
                Ok(alert) => return Some(Some(alert)),
                // A client that reads too slowly misses some, as with the devices.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            },
            () = sleep_until(heartbeat) => return Some(None),
        }
    }
}

fn part(device: &Arc<Device>, alert: Option<Alert>, count: u64) -> Bytes {
    // A heartbeat is a loss of video that is not there.
    let (kind, channel, active) = alert.map_or(("videoloss", 1, false), |a| ("VMD", a.channel, a.active));
    let number = match device.options.kind {
        DeviceKind::Camera => "channelID",
        DeviceKind::Nvr | DeviceKind::Gateway => "dynChannelID",
    };
    let body = Element::new("EventNotificationAlert")
        .attribute("version", "2.0")
        .attribute("xmlns", "http://www.hikvision.com/ver20/XMLSchema")
        .with("ipAddress", device.options.listen)
        .with("portNo", device.options.http_port)
        .with("protocol", "HTTP")
        .with("macAddress", device::mac(device))
        .with(number, channel)
        .with("dateTime", device::local_time(device))
        .with("activePostCount", count)
        .with("eventType", kind)
        .with("eventState", if active { "active" } else { "inactive" })
        .with("eventDescription", format!("{kind} alarm"))
        .to_string();
    let head = format!(
        "--boundary\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Bytes::from(head + &body)
}
