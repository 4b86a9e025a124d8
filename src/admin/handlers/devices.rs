//! Devices, and the table of media URLs.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        paging::page,
        views::DoneView,
    },
    camera::MediaUrl,
    model::DeviceId,
    serve::Response,
};
use std::{fmt, str::FromStr, sync::Arc};

pub(in crate::admin) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let snapshot = api.deps.cameras.watch().borrow().clone();
    json(&page(&snapshot.devices, |d| d.id.clone(), call.cursor()?, call.limit()?))
}

pub(in crate::admin) async fn one(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let id = device_id(&call)?;
    let snapshot = api.deps.cameras.watch().borrow().clone();
    let device = snapshot.devices.iter().find(|d| d.id == id);
    json(device.ok_or_else(|| Failure::not_found(format!("there is no device `{id}`")))?)
}

pub(in crate::admin) async fn reconnect(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    api.deps.cameras.reconnect(&device_id(&call)?).await?;
    json(&DoneView { done: true })
}

pub(in crate::admin) async fn media_urls(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let snapshot = api.deps.cameras.watch().borrow().clone();
    json(&page(&snapshot.media_urls, RowKey::of, call.cursor()?, call.limit()?))
}

/// An id that cannot be one names no device either.
fn device_id(call: &Call) -> Result<DeviceId, Failure> {
    call.argument("id").parse().map_err(|e: crate::model::key::BadKey| Failure::not_found(e.to_string()))
}

/// What orders the rows of the table of media URLs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey(String, u32);

impl RowKey {
    fn of(row: &&MediaUrl) -> Self {
        Self(row.device_index.clone(), row.channel)
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl FromStr for RowKey {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let (device, channel) = s.rsplit_once('/').ok_or(())?;
        Ok(Self(device.to_owned(), channel.parse().map_err(|_| ())?))
    }
}
