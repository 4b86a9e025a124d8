//! The Hik Device Gateway: what it is asked, in JSON, and what its answers mean. Parts of its schema are known from one
//! user of it alone, so wrappers may be missing, numbers may stand in quotes, and null is "not told", never "none".

use super::{
    Client, Error, Identity, LockState,
    client::Ask,
    json::{self, Json},
    status::{About, judge_json, lock_state_of},
    xml::clip,
};
use crate::model::key::CHANNEL_MAX;
use bytes::Bytes;
use http::Method;
use serde_json::json;

/// Entries of one page that are read. Gateways keep to what is asked for, or to a lower number of their own.
const ENTRIES_MAX: usize = 4096;
/// Channels of one device that are believed. The largest recorders have 256.
const CHANNELS_MAX: usize = 512;

const DEVICE_INFO: &str = "/ISAPI/System/deviceInfo?format=json";
const USER_CHECK: &str = "/ISAPI/Security/userCheck?format=json";
const DEVICE_LIST: &str = "/ISAPI/ContentMgmt/DeviceMgmt/deviceList?format=json";
const CHANNEL_INFO: &str = "/ISAPI/ContentMgmt/DeviceMgmt/channelInfo?format=json&devIndex=";
const STREAM_MEDIA: &str = "/ISAPI/System/streamMedia?format=json&devIndex=";

/// What a gateway says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceStatus {
    /// It is connected.
    Online,
    /// It is not.
    Offline,
    /// It saves power: registered, and silent until it is woken.
    Sleep,
    /// A word that is not documented.
    Other(String),
}

/// One device behind a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayDevice {
    /// The gateway's name for it, as it spells it.
    pub index: String,
    /// Who it is.
    pub identity: Identity,
    /// None where the list does not carry it.
    pub status: Option<DeviceStatus>,
    /// Why it is offline, in words.
    pub hint: Option<String>,
    /// How many video channels it is said to have.
    pub channels: Option<u32>,
}

/// One page of the list of devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePage {
    /// The devices that can be understood.
    pub devices: Vec<GatewayDevice>,
    /// Entries, those that cannot be understood among them.
    pub entries: usize,
    /// How many devices there are in all, as far as it says.
    pub total: Option<usize>,
    /// The list itself was there, be it empty. Null in its place tells nothing.
    pub told: bool,
}

/// One video channel of a device behind a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayChannel {
    /// The channel, from 1.
    pub id: u32,
    /// The name that people gave it.
    pub name: Option<String>,
    /// Whether it is there, where that is said.
    pub online: Option<bool>,
}

impl DeviceStatus {
    fn read(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "online" => Self::Online,
            "offline" => Self::Offline,
            "sleep" => Self::Sleep,
            _ => Self::Other(clip(word)),
        }
    }

    /// The word that the gateway uses.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Sleep => "sleep",
            Self::Other(word) => word,
        }
    }
}

impl Client {
    /// Who the gateway itself is.
    pub async fn gateway_identity(&self) -> Result<Identity, Error> {
        let answer = self.gateway_get(DEVICE_INFO, About::Gateway).await?;
        Ok(identity(answer.unwrap_key("DeviceInfo")))
    }

    /// Whether the account is locked, asked without logging in: it spends no try. None where it does not say.
    pub async fn gateway_lock_state(&self) -> Result<Option<LockState>, Error> {
        let raw = self.send_anonymously(&get(USER_CHECK)).await?;
        Ok(lock_state_of(&raw.body))
    }

    /// The devices from `position` on, `count` at most; of one status alone, where one is given.
    pub async fn gateway_devices(
        &self,
        position: usize,
        count: usize,
        status: Option<&DeviceStatus>,
    ) -> Result<DevicePage, Error> {
        let mut search = json!({ "position": position, "maxResult": count });
        if let Some(status) = status {
            search["Filter"] = json!({ "devStatus": [status.as_str()] });
        }
        let answer = self.gateway_post(DEVICE_LIST, &json!({ "SearchDescription": search }), About::Gateway).await?;
        page(&answer)
    }

    /// The video channels of one device. None where the gateway does not tell them now.
    pub async fn gateway_channels(&self, index: &str) -> Result<Option<Vec<GatewayChannel>>, Error> {
        let answer = self.gateway_get(&format!("{CHANNEL_INFO}{index}"), About::Device).await?;
        Ok(channels(&answer))
    }

    /// Where one stream of one channel is fetched, as the gateway writes it. `stream` is `main` or `sub`.
    pub async fn gateway_url(&self, index: &str, channel: u32, stream: &str) -> Result<String, Error> {
        let path = format!("{STREAM_MEDIA}{index}");
        let wanted = json!({ "id": channel.to_string(), "streamType": stream, "method": "preview" });
        let answer = self.gateway_post(&path, &json!({ "StreamInfo": wanted }), About::Device).await?;
        let url = answer.unwrap_key("MediaAccessInfo").text("URL").map(str::to_owned);
        url.ok_or_else(|| Error::Nonsense { path, detail: "it holds no MediaAccessInfo.URL".into() })
    }

    async fn gateway_get(&self, path: &str, about: About) -> Result<Json, Error> {
        let raw = self.send(&get(path)).await?;
        judge_json(path, raw.status.as_u16(), &raw.body, about)
    }

    async fn gateway_post(&self, path: &str, body: &serde_json::Value, about: About) -> Result<Json, Error> {
        let body = Some(Bytes::from(body.to_string()));
        let raw = self.send(&Ask { method: Method::POST, body, ..get(path) }).await?;
        judge_json(path, raw.status.as_u16(), &raw.body, about)
    }
}

fn get(path: &str) -> Ask<'_> {
    Ask { method: Method::GET, path, accept: "application/json, */*", body: None }
}

fn text(value: &Json, key: &str) -> Option<String> {
    value.text(key).map(clip)
}

fn identity(info: &Json) -> Identity {
    Identity {
        name: text(info, "deviceName"),
        model: text(info, "model"),
        serial: text(info, "serialNumber"),
        firmware: text(info, "firmwareVersion"),
        kind: text(info, "deviceType"),
    }
}

pub(super) fn page(answer: &Json) -> Result<DevicePage, Error> {
    let nonsense = |detail: &str| Error::Nonsense { path: DEVICE_LIST.into(), detail: detail.into() };
    let result = answer.get("SearchResult").ok_or_else(|| nonsense("it is no SearchResult"))?;
    let list = result.list("MatchList");
    let entries = list.unwrap_or_default();
    if entries.len() > ENTRIES_MAX {
        return Err(nonsense("its page is longer than any gateway's"));
    }
    Ok(DevicePage {
        devices: entries.iter().filter_map(|e| device(e.unwrap_key("Device"))).collect(),
        entries: entries.len(),
        total: result.number("totalMatches"),
        told: list.is_some(),
    })
}

fn device(entry: &Json) -> Option<GatewayDevice> {
    let status = entry.text("devStatus").map(DeviceStatus::read);
    Some(GatewayDevice {
        index: entry.text("devIndex")?.to_owned(),
        identity: Identity {
            name: text(entry, "devName"),
            model: text(entry, "devMode"),
            serial: text(entry, "devSerial"),
            firmware: text(entry, "devVersion"),
            kind: text(entry, "devType"),
        },
        hint: entry.text("offlineHint").map(offline_words),
        status,
        channels: entry.number("videoChannelNum"),
    })
}

/// What `offlineHint` means.
fn offline_words(code: &str) -> String {
    match code {
        "0" => "it has not connected to the gateway yet".to_owned(),
        "1" => "its ISUP key is not the one that the gateway has".to_owned(),
        "2" => "it speaks another version of ISUP than the gateway expects".to_owned(),
        "3" => "the gateway cannot reach it over the network".to_owned(),
        other if other.bytes().all(|b| b.is_ascii_digit()) => format!("offlineHint {}", clip(other)),
        words => clip(words),
    }
}

pub(super) fn channels(answer: &Json) -> Option<Vec<GatewayChannel>> {
    let list = answer.unwrap_key("ChannelInfo").list("VideoChannel")?;
    Some(list.iter().take(CHANNELS_MAX).filter_map(|e| channel(e.unwrap_key("Channel"))).collect())
}

fn channel(entry: &Json) -> Option<GatewayChannel> {
    let word = ["status", "chanStatus", "devStatus"].iter().find_map(|key| entry.text(key));
    let online = match word.map(str::to_ascii_lowercase).as_deref() {
        Some("online") => Some(true),
        Some("offline") => Some(false),
        _ => entry.flag("online"),
    };
    Some(GatewayChannel {
        id: entry.number("id").filter(|id| (1..=CHANNEL_MAX).contains(id))?,
        name: text(entry, "name").or_else(|| text(entry, "channelName")),
        online,
    })
}

/// The lock state in a body of JSON, wrapped or not.
pub(super) fn lock_state(body: &[u8]) -> Option<LockState> {
    let answer = json::parse(body).ok()?;
    lock_state_in(&answer)
}

/// The lock state in an answer, if there is one.
pub(super) fn lock_state_in(answer: &Json) -> Option<LockState> {
    let told = ["ResponseStatus", "userCheck"].iter().find_map(|key| answer.get(key)).unwrap_or(answer);
    let word = told.text("lockStatus")?.to_ascii_lowercase();
    Some(LockState {
        locked: matches!(word.as_str(), "lock" | "locked"),
        unlock_s: told.number("resLockTime").or_else(|| told.number("unlockTime")),
        retries_left: told.number("retryTimes").or_else(|| told.number("retryLoginTime")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hikvision::status::lock_state_of;

    fn read(text: &str) -> Json {
        json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_page_of_devices_with_one_that_cannot_be_understood() {
        let page = page(&read(include_str!("fixtures/gateway_device_list.json"))).unwrap();
        assert_eq!((page.entries, page.devices.len(), page.total, page.told), (4, 3, Some(4), true));
        let [yard, barn, mast] = &page.devices[..] else { panic!("{page:?}") };
        assert_eq!((yard.status.as_ref(), yard.channels), (Some(&DeviceStatus::Online), Some(4)));
        assert_eq!(yard.identity.name.as_deref(), Some("Yard & Gate"));
        assert_eq!(yard.identity.firmware.as_deref(), Some("V4.62.999"));
        assert_eq!(barn.hint.as_deref(), Some("its ISUP key is not the one that the gateway has"));
        assert_eq!(mast.status, Some(DeviceStatus::Sleep));
    }

    #[test]
    fn a_list_without_wrappers_and_with_numbers_in_quotes() {
        let page = page(&read(include_str!("fixtures/gateway_device_list_flat.json"))).unwrap();
        assert_eq!((page.devices[0].index.as_str(), page.devices[0].channels, page.total), ("A1", Some(2), Some(1)));
        assert_eq!(page.devices[0].status, Some(DeviceStatus::Online));
    }

    #[test]
    fn a_match_list_of_null_tells_nothing_and_another_document_is_no_empty_list() {
        let null = page(&read(include_str!("fixtures/gateway_device_list_null.json"))).unwrap();
        assert_eq!((null.told, null.total, null.entries), (false, Some(3), 0));
        assert!(page(&read(r#"{"DeviceInfo":{}}"#)).is_err());
    }

    #[test]
    fn channels_in_every_form_and_null_for_not_told() {
        let list = channels(&read(include_str!("fixtures/gateway_channel_info.json"))).unwrap();
        let seen: Vec<_> = list.iter().map(|c| (c.id, c.name.as_deref(), c.online)).collect();
        assert_eq!(seen, [(1, Some("Gate"), None), (3, None, Some(false)), (4, None, None)]);
        assert_eq!(channels(&read(include_str!("fixtures/gateway_channel_info_null.json"))), None);
        assert_eq!(channels(&read(r#"{"ChannelInfo":null}"#)), None);
        assert_eq!(channels(&read(r#"{"ChannelInfo":{"VideoChannel":[]}}"#)), Some(vec![]));
    }

    #[test]
    fn the_lock_is_read_wrapped_and_flat() {
        let flat = lock_state_of(include_bytes!("fixtures/gateway_locked_flat.json")).unwrap();
        assert_eq!((flat.locked, flat.unlock_s, flat.retries_left), (true, Some(1795), Some(0)));
        let wrapped = lock_state_of(include_bytes!("fixtures/gateway_refused_wrapped.json")).unwrap();
        assert_eq!((wrapped.locked, wrapped.retries_left), (false, Some(4)));
        assert_eq!(lock_state_of(include_bytes!("fixtures/gateway_error_in_200.json")), None);
    }

    #[test]
    fn a_refusal_in_http_200_counts_as_one_and_that_of_a_device_behind_does_not() {
        let judge = |body: &str, about| judge_json("/p", 200, body.as_bytes(), about).unwrap_err();
        let locked = include_str!("fixtures/gateway_locked_flat.json");
        let refused = include_str!("fixtures/gateway_refused_wrapped.json");
        assert!(matches!(judge(locked, About::Gateway), Error::Locked { answers: 1, unlock_s: Some(1795) }));
        assert!(matches!(judge(refused, About::Gateway), Error::AuthRefused { answers: 1, retries_left: Some(4) }));
        assert!(matches!(judge(refused, About::Device), Error::Denied { .. }));
        let broken = judge(include_str!("fixtures/gateway_error_in_200.json"), About::Gateway);
        assert!(matches!(broken, Error::Device { .. }) && broken.to_string().contains("networkError"), "{broken}");
        let fine = judge_json("/p", 200, br#"{"ResponseStatus":{"statusCode":7}}"#, About::Gateway);
        assert!(fine.is_ok(), "done, and a restart is needed");
        assert!(matches!(judge("<html>", About::Gateway), Error::Nonsense { .. }));
        let unsupported = judge(r#"{"statusCode":4,"subStatusCode":"notSupport"}"#, About::Device);
        assert!(matches!(unsupported, Error::Unsupported { .. }));
    }

    #[test]
    fn hints_are_words() {
        assert_eq!(offline_words("3"), "the gateway cannot reach it over the network");
        assert_eq!(offline_words("17"), "offlineHint 17");
        assert_eq!(offline_words("wrong password"), "wrong password");
    }
}
