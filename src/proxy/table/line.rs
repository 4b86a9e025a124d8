//! Which of a route's lines a request goes to: its own, or one that `split` puts beside it; and the instance that a
//! client stays with. Pure: the dice are thrown elsewhere.

use super::{Forward, Group, RouteTable, route::cookie};
use crate::proxy::config::When;
use std::sync::Arc;

/// Lines share a hundred parts.
pub const PARTS: u32 = 100;

/// Where a request goes.
pub struct Chosen<'t> {
    /// Who serves it.
    pub group: &'t Arc<Group>,
    /// The one of them that the client stays with, where there is one and it is well.
    pub member: Option<u32>,
}

/// Which line, of those that `split` names in their order; None: the route's own. `draw`: 0 to 99.
///
/// The first line whose header or cookie is there takes the request; else the parts decide.
pub(super) fn choose<'w, 'h>(
    lines: impl Iterator<Item = &'w When> + Clone,
    header: impl Fn(&str) -> Option<&'h [u8]>,
    draw: u32,
) -> (Option<usize>, bool) {
    let says = |when: &When| match when {
        When::Parts(_) => false,
        When::Header(name, value) => header(name).is_some_and(|got| fits(got, value.as_deref())),
        When::Cookie(name, value) => {
            let got = header("cookie").and_then(|cookies| cookie(cookies, name));
            got.is_some_and(|got| fits(got, value.as_deref()))
        }
    };
    if let Some(line) = lines.clone().position(says) {
        return (Some(line), true);
    }
    let mut upto = 0;
    let drawn = lines.enumerate().find_map(|(at, when)| {
        let When::Parts(parts) = when else { return None };
        upto += parts;
        (draw < upto).then_some(at)
    });
    (drawn, false)
}

fn fits(got: &[u8], wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| wanted.as_bytes() == got)
}

impl RouteTable {
    /// Where a request of this route goes, `own` being who serves it where nothing else is said. `header`: the first
    /// field of a name in lower case.
    pub fn line<'t, 'h>(
        &'t self,
        forward: &Forward,
        own: &'t Arc<Group>,
        header: impl Fn(&str) -> Option<&'h [u8]>,
        draw: u32,
        now_micros: u64,
    ) -> Chosen<'t> {
        let group = |line: usize| &self.groups[forward.lines[line].group];
        let (line, is_said) = choose(forward.lines.iter().map(|line| &line.when), &header, draw);
        if let (Some(line), true) = (line, is_said) {
            // Whoever asks for a line is told where it is missing.
            let group = group(line);
            return Chosen { group, member: stays(forward, group, &header, now_micros) };
        }
        // A client stays with its instance, and so with the line that it belongs to.
        let drawn = (0..forward.lines.len()).filter(|at| matches!(forward.lines[*at].when, When::Parts(_))).map(group);
        for group in [own].into_iter().chain(drawn) {
            if let member @ Some(_) = stays(forward, group, &header, now_micros) {
                return Chosen { group, member };
            }
        }
        // Nobody asked to be on a line that has nobody to serve it.
        let drawn = line.map(group).filter(|group| !group.endpoints.is_empty());
        Chosen { group: drawn.unwrap_or(own), member: None }
    }
}

/// The member of a group that a client stays with.
fn stays<'h>(
    forward: &Forward,
    group: &Group,
    header: impl Fn(&str) -> Option<&'h [u8]>,
    now_micros: u64,
) -> Option<u32> {
    let named = forward.sticky_of(header)?;
    let at = group.endpoints.iter().position(|endpoint| endpoint.sticks_to() == named)?;
    let endpoint = &group.endpoints[at];
    endpoint.state.ejected(now_micros).is_none().then(|| u32::try_from(at).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(name: &str) -> When {
        When::Header(name.into(), Some("test".into()))
    }

    #[test]
    fn the_first_line_that_is_asked_for_wins_over_any_draw() {
        let lines = [When::Parts(50), header("x-line"), When::Cookie("line".into(), None), header("x-other")];
        let pick = |fields: &[(&str, &str)], draw| {
            let get = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_bytes());
            choose(lines.iter(), get, draw)
        };
        for draw in [0, 49, 99] {
            assert_eq!(pick(&[("x-line", "test")], draw), (Some(1), true));
            assert_eq!(pick(&[("x-line", "test"), ("cookie", "line=x")], draw), (Some(1), true));
            assert_eq!(pick(&[("cookie", "a=b; line=x")], draw), (Some(2), true));
            assert_eq!(pick(&[("x-other", "test")], draw), (Some(3), true));
            let drawn = (draw < 50).then_some(0);
            assert_eq!(pick(&[("x-line", "tes"), ("cookie", "lines=x")], draw), (drawn, false));
        }
    }

    proptest! {
        #[test]
        fn over_all_draws_each_line_gets_just_its_parts(parts in prop::collection::vec(1u32..40, 0..4)) {
            prop_assume!(parts.iter().sum::<u32>() <= PARTS);
            let lines: Vec<When> = parts.iter().map(|p| When::Parts(*p)).collect();
            let mut counts = vec![0; parts.len()];
            for draw in 0..PARTS {
                match choose(lines.iter(), |_| None, draw) {
                    (Some(at), false) => counts[at] += 1,
                    other => prop_assert_eq!(other, (None, false)),
                }
            }
            prop_assert_eq!(counts, parts);
        }
    }
}
