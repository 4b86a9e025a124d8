//! The devices behind a simulated gateway, and what of them is wrong at the moment.

use crate::{
    model::Profile,
    sim::{ChannelFault, Error, Options},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Devices that can be added while it runs.
const SPARE_DEVICES: u32 = 4;
/// Channels that can be added to each device while it runs.
const SPARE_CHANNELS: u32 = 2;
/// What every path of a stream begins with.
const PATH_HEAD: &str = "/dac/";
/// Characters of a `devIndex`.
const INDEX_LEN: usize = 36;

/// A fault of one device behind the gateway, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberFault {
    /// It is connected.
    Online,
    /// It is not; the number is the gateway's `offlineHint`.
    Offline(Option<u32>),
    /// It saves power.
    Sleep,
    /// It leaves the list.
    Delete,
    /// Back after `Delete`, or for the first time.
    Restore,
    /// `VideoChannel` is null where its channels are asked for.
    ChannelsNull(bool),
    /// A channel is there.
    AddChannel(u32),
    /// It is no longer.
    RemoveChannel(u32),
    /// A channel's URL is another from now on; the old one is 404. Sessions that run go on.
    Move(u32),
}

/// A fault of the gateway's list of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFault {
    /// None.
    Sane,
    /// `MatchList` is null, the total is not 0.
    Null,
    /// `MatchList` is null and the total 0, as while it starts.
    Empty,
    /// `totalMatches` is two more than there are.
    WrongTotals,
    /// Half of each page is missing.
    HalfPage,
    /// The second page and all after it fail.
    SecondPage,
    /// HTTP 200 with statusCode 3.
    Error,
    /// HTTP 503 without a body.
    Busy,
    /// Devices without `devStatus`, which only the filter tells then.
    NoStatus,
}

/// A fault of the gateway, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayFault {
    /// Of its list.
    List(ListFault),
    /// Every answer is so late.
    Slow(Duration),
    /// Of the device of that number, from 1.
    Member(u32, MemberFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Online,
    Offline,
    Sleep,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Sleep => "sleep",
        }
    }
}

/// One device.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub number: u32,
    pub listed: bool,
    pub status: Status,
    pub hint: Option<u32>,
    pub channels_null: bool,
    /// How often the URL of each of its channels has changed.
    pub channels: BTreeMap<u32, u32>,
}

/// The devices and the faults.
pub(in crate::sim) struct Estate {
    slots: u32,
    state: Mutex<State>,
}

pub(super) struct State {
    pub members: Vec<Member>,
    pub list: ListFault,
    pub slow: Duration,
    /// Requests by the last part of their path.
    pub requests: BTreeMap<String, u64>,
}

impl Estate {
    pub fn new(options: &Options) -> Self {
        let member = |number| Member {
            number,
            listed: number <= options.devices,
            status: Status::Online,
            hint: None,
            channels_null: false,
            channels: (1..=options.channels).map(|channel| (channel, 0)).collect(),
        };
        let members = (1..=options.devices + SPARE_DEVICES).map(member).collect();
        let (list, slow) = (ListFault::Sane, Duration::ZERO);
        let state = Mutex::new(State { members, list, slow, requests: BTreeMap::new() });
        Self { slots: options.channels + SPARE_CHANNELS, state }
    }

    /// How many channels the simulated device needs for all that may ever be behind the gateway.
    pub fn flat_channels(options: &Options) -> u32 {
        (options.devices + SPARE_DEVICES).saturating_mul(options.channels + SPARE_CHANNELS)
    }

    /// The simulated device's channel that is this channel of that device.
    pub fn flat(&self, device: u32, channel: u32) -> u32 {
        (device - 1) * self.slots + channel
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream that a path means, where it is to be had.
    pub fn target(&self, path: &str) -> Option<(u32, Profile)> {
        let rest = path.strip_prefix(PATH_HEAD)?;
        let (moved, rest) = match rest.strip_prefix("moved").and_then(|r| r.split_once('/')) {
            Some((times, rest)) => (times.parse().ok()?, rest),
            None => (0, rest),
        };
        let mut parts = rest.strip_prefix("realplay/")?.split('/');
        let (index, channel) = parts.next()?.split_at_checked(INDEX_LEN)?;
        let profile: Profile = parts.next()?.to_ascii_lowercase().parse().ok()?;
        let whole = parts.next().is_some_and(|p| p.eq_ignore_ascii_case("tcp")) && parts.next().is_none();
        let number = number_of(index)?;
        let channel: u32 = channel.parse().ok()?;
        let state = self.state();
        let member = state.members.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        let there = whole && member.listed && member.status == Status::Online;
        (there && member.channels.get(&channel) == Some(&moved)).then(|| (self.flat(number, channel), profile))
    }

    /// Sets or ends a fault; the faults of the simulated device's channels that follow from it.
    pub fn fault(&self, fault: &GatewayFault) -> Result<Vec<(u32, ChannelFault)>, Error> {
        let mut state = self.state();
        let (number, fault) = match fault {
            GatewayFault::List(list) => {
                state.list = *list;
                return Ok(Vec::new());
            }
            GatewayFault::Slow(wait) => {
                state.slow = *wait;
                return Ok(Vec::new());
            }
            GatewayFault::Member(number, fault) => (*number, fault),
        };
        let at = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        let member = at.and_then(|at| state.members.get_mut(at)).ok_or(Error::NoDevice(number))?;
        let slot = |channel: u32| match (1..=self.slots).contains(&channel) {
            true => Ok(channel),
            false => Err(Error::NoChannel(channel)),
        };
        match fault {
            MemberFault::Online => (member.status, member.hint) = (Status::Online, None),
            MemberFault::Offline(hint) => (member.status, member.hint) = (Status::Offline, *hint),
            MemberFault::Sleep => member.status = Status::Sleep,
            MemberFault::Delete => member.listed = false,
            MemberFault::Restore => member.listed = true,
            MemberFault::ChannelsNull(null) => member.channels_null = *null,
            MemberFault::AddChannel(channel) => {
                member.channels.entry(slot(*channel)?).or_default();
            }
            MemberFault::RemoveChannel(channel) => {
                member.channels.remove(channel);
            }
            MemberFault::Move(channel) => match member.channels.get_mut(channel) {
                Some(moved) => *moved += 1,
                None => return Err(Error::NoChannel(*channel)),
            },
        }
        let there = member.listed && member.status == Status::Online;
        let fault_of = |channel| match there && member.channels.contains_key(&channel) {
            true => ChannelFault::Online,
            false => ChannelFault::Offline,
        };
        Ok((1..=self.slots).map(|channel| (self.flat(number, channel), fault_of(channel))).collect())
    }

    /// For `GET /` on the control port.
    pub fn to_json(&self) -> Value {
        let state = self.state();
        let members = state.members.iter().filter(|m| m.listed).map(|m| {
            let channel = |(channel, moved): (&u32, &u32)| {
                json!({ "channel": channel, "flat": self.flat(m.number, *channel), "path": path(m.number, *channel, *moved, "MAIN") })
            };
            json!({
                "device": m.number,
                "dev_index": index_of(m.number),
                "status": m.status.as_str(),
                "channels": m.channels.iter().map(channel).collect::<Vec<_>>(),
            })
        });
        json!({ "devices": members.collect::<Vec<_>>(), "requests": state.requests })
    }
}

/// The `devIndex` of the device of that number.
pub(in crate::sim) fn index_of(number: u32) -> String {
    format!("6E1B1C1F-0C57-4C9D-9B6B-{number:012X}")
}

/// The device of that `devIndex`.
pub(super) fn number_of(index: &str) -> Option<u32> {
    let number = u32::from_str_radix(index.rsplit('-').next()?, 16).ok()?;
    (index_of(number) == index).then_some(number)
}

/// Where a stream is.
pub(super) fn path(number: u32, channel: u32, moved: u32, profile: &str) -> String {
    let moved = if moved == 0 { String::new() } else { format!("moved{moved}/") };
    format!("{PATH_HEAD}{moved}realplay/{}{channel}/{profile}/TCP", index_of(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_of_devices_that_are_there_and_a_moved_one_is_404_at_its_old_place() {
        let estate = Estate::new(&Options { devices: 2, channels: 3, ..Options::default() });
        assert_eq!(estate.target(&path(2, 3, 0, "MAIN")), Some((8, Profile::Main)));
        assert_eq!(estate.target(&path(2, 12, 0, "MAIN")), None);
        assert_eq!(estate.target(&path(3, 1, 0, "MAIN")), None, "a spare one");
        let fault = |fault| estate.fault(&GatewayFault::Member(2, fault)).unwrap();
        fault(MemberFault::Move(3));
        assert_eq!(estate.target(&path(2, 3, 0, "SUB")), None);
        assert_eq!(estate.target(&path(2, 3, 1, "SUB")), Some((8, Profile::Sub)));
        let faults = fault(MemberFault::Sleep);
        assert!(faults.contains(&(6, ChannelFault::Offline)) && faults.len() == 5, "{faults:?}");
        assert_eq!(estate.target(&path(2, 1, 0, "MAIN")), None);
        assert!(estate.fault(&GatewayFault::Member(99, MemberFault::Sleep)).is_err());
    }
}
