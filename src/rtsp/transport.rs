//! How a client wants a track's packets: its Transport header. Pure.

/// What a client asked for in its Transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Two interleaved channels.
    Interleaved(u8, u8),
    /// Datagrams to two ports.
    Datagrams(u16, u16),
}

impl Asked {
    /// Reads a Transport header; None where it asks for something else. `number` is the track's.
    pub fn parse(transport: &str, number: u8) -> Option<Self> {
        let of = |spec: &str, key: &str| {
            spec.split(';').find_map(|p| p.trim().strip_prefix(key).map(str::to_owned)).map(|pair| {
                let (a, b) = pair.split_once('-').map_or((pair.as_str(), ""), |(a, b)| (a, b));
                (a.parse::<u16>().ok(), b.parse::<u16>().ok())
            })
        };
        transport.split(',').find_map(|spec| {
            let upper = spec.trim().to_ascii_uppercase();
            if upper.starts_with("RTP/AVP/TCP") {
                let default = u16::from(number.saturating_sub(1)) * 2;
                let (a, b) = of(spec, "interleaved=").unwrap_or((Some(default), None));
                let a = u8::try_from(a?).ok()?;
                return Some(Self::Interleaved(a, b.and_then(|b| u8::try_from(b).ok()).or(a.checked_add(1))?));
            }
            if !upper.starts_with("RTP/AVP") || upper.contains("MULTICAST") {
                return None;
            }
            let (a, b) = of(spec, "client_port=")?;
            Some(Self::Datagrams(a?, b.or(a?.checked_add(1))?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_read_as_clients_write_them() {
        for (header, track, asked) in [
            ("RTP/AVP/TCP;unicast;interleaved=2-3", 2, Some(Asked::Interleaved(2, 3))),
            ("RTP/AVP/TCP;unicast", 2, Some(Asked::Interleaved(2, 3))),
            ("RTP/AVP/UDP;unicast;client_port=5000-5001", 1, Some(Asked::Datagrams(5000, 5001))),
            ("RTP/AVP;unicast;client_port=5000", 1, Some(Asked::Datagrams(5000, 5001))),
            ("RTP/AVP;multicast;client_port=5000-5001, RTP/AVP/TCP;interleaved=0-1", 1, Some(Asked::Interleaved(0, 1))),
            ("RTP/AVP;multicast", 1, None),
            ("RAW/RAW/UDP;unicast", 1, None),
            ("", 1, None),
        ] {
            assert_eq!(Asked::parse(header, track), asked, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_borne(header in "[A-Za-z/;,=0-9_ -]{0,80}|\\PC{0,40}", track: u8) {
            let _ = Asked::parse(&header, track);
        }
    }
}
