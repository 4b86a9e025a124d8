//! The last pictures of a stream as they are sent, and who is where in them. Pure.

use std::{collections::VecDeque, sync::Arc};

/// Groups of pictures are kept until the next one is so old, at 90 kHz: who is further behind skips to the newest.
const BEHIND_TICKS_MAX: u64 = 180_000;
/// Bytes of one stream, beyond which older groups go: 8 s at 16 Mb/s.
const BYTES_MAX: usize = 16 << 20;

/// What goes to all who watch.
#[derive(Clone, Debug)]
pub(in crate::playback) struct Made<F, C> {
    /// How it is coded from here on, where that is another than before.
    pub(in crate::playback) format: Option<F>,
    /// One picture or sound.
    pub(in crate::playback) content: C,
    /// What that takes in memory.
    pub(in crate::playback) bytes: usize,
    /// Decoding can begin here.
    pub(in crate::playback) key: bool,
    /// When it is shown, at 90 kHz.
    pub(in crate::playback) at: u64,
}

/// What is kept.
pub(super) struct Backlog<F, C> {
    messages: VecDeque<Message<F, C>>,
    /// Number of the first message.
    first: u64,
    bytes: usize,
    format: Option<Arc<F>>,
}

struct Message<F, C> {
    content: C,
    bytes: usize,
    key: bool,
    at: u64,
    format: Arc<F>,
}

/// Where somebody is.
pub(super) struct Place<F> {
    /// The number of the next message; None: they begin.
    next: Option<u64>,
    /// How what they have is coded.
    format: Option<Arc<F>>,
}

/// What comes next for somebody.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<F, C> {
    /// This, and how it is coded where that is news; and so many that were left out.
    Send { opening: Option<Arc<F>>, content: C, skipped: u64 },
    /// Nothing yet.
    Wait,
}

impl<F> Default for Place<F> {
    fn default() -> Self {
        Self { next: None, format: None }
    }
}

impl<F> Place<F> {
    /// They go on with the newest key frame, as if they had just come.
    pub(super) fn begin_again(&mut self) {
        self.next = None;
    }
}

impl<F, C> Default for Backlog<F, C> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), first: 0, bytes: 0, format: None }
    }
}

impl<F, C: Clone> Backlog<F, C> {
    /// The number of the next message.
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// Takes in what was made.
    pub(super) fn add(&mut self, made: Made<F, C>) {
        let Made { format, content, bytes, key, at } = made;
        if let Some(format) = format {
            self.format = Some(Arc::new(format));
        }
        let Some(format) = self.format.clone() else { return };
        self.bytes += bytes;
        self.messages.push_back(Message { content, bytes, key, at, format });
        while let Some(second) = self.second_key()
            && (self.bytes > BYTES_MAX || self.messages[second].at + BEHIND_TICKS_MAX < at)
        {
            self.drop_first(second);
        }
        if self.bytes > BYTES_MAX {
            // One group alone: who comes now begins with the next one, and who is in time goes on.
            self.drop_first(self.messages.len() - 1);
        }
    }

    /// Where the second group begins.
    fn second_key(&self) -> Option<usize> {
        self.messages.iter().skip(1).position(|message| message.key).map(|at| at + 1)
    }

    fn drop_first(&mut self, count: usize) {
        let bytes: usize = self.messages.drain(..count).map(|message| message.bytes).sum();
        self.bytes -= bytes;
        self.first += count as u64;
    }

    /// How the newest is coded.
    pub(super) fn format(&self) -> Option<Arc<F>> {
        self.format.clone()
    }

    /// Whether somebody can begin.
    pub(super) fn has_key(&self) -> bool {
        self.messages.iter().any(|message| message.key)
    }

    /// What comes next for somebody, who then has it.
    pub(super) fn step(&self, place: &mut Place<F>) -> Step<F, C> {
        let lost = place.next.filter(|next| *next < self.first);
        if place.next.is_none() || lost.is_some() {
            // The newest group of pictures: with an older one they would only be behind again.
            let Some(at) = self.messages.iter().rposition(|message| message.key) else { return Step::Wait };
            place.next = Some(self.first + at as u64);
        }
        let Some(next) = place.next else { return Step::Wait };
        let index = usize::try_from(next - self.first).unwrap_or(usize::MAX);
        let Some(message) = self.messages.get(index) else { return Step::Wait };
        place.next = Some(next + 1);
        let known = place.format.as_ref().is_some_and(|format| Arc::ptr_eq(format, &message.format));
        let opening = (!known).then(|| message.format.clone());
        place.format = Some(message.format.clone());
        Step::Send { opening, content: message.content.clone(), skipped: lost.map_or(0, |lost| next - lost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// A picture of so many bytes, whose number is its first eight.
    fn picture(n: u64, key: bool, format: bool, bytes: usize) -> Made<Bytes, Bytes> {
        let mut data = n.to_be_bytes().to_vec();
        data.resize(bytes.max(8), 0);
        let format = format.then(|| Bytes::from_static(b"format"));
        Made { format, bytes: data.len(), content: data.into(), key, at: n * 3_600 }
    }

    fn number(bytes: &Bytes) -> u64 {
        u64::from_be_bytes(bytes[..8].try_into().unwrap())
    }

    #[test]
    fn somebody_begins_at_the_newest_key_frame_and_is_told_how_it_is_coded() {
        let mut backlog = Backlog::default();
        let mut place = Place::default();
        assert_eq!(backlog.step(&mut place), Step::Wait);
        for n in 0..60 {
            backlog.add(picture(n, n % 25 == 0, n == 0 || n == 55, 100));
        }
        let mut got = Vec::new();
        while let Step::Send { opening, content, skipped } = backlog.step(&mut place) {
            assert_eq!((skipped, opening.is_some()), (0, matches!(number(&content), 50 | 55)), "{}", number(&content));
            got.push(number(&content));
        }
        assert_eq!(got, (50..60).collect::<Vec<_>>());
        assert_eq!(backlog.first, 0, "who is two seconds behind is not too slow");
    }

    #[test]
    fn who_is_two_seconds_and_a_group_behind_skips_and_what_is_kept_ends_there() {
        let mut backlog = Backlog::default();
        let mut slow = Place::default();
        backlog.add(picture(0, true, true, 100));
        assert!(matches!(backlog.step(&mut slow), Step::Send { skipped: 0, .. }));
        // Group after group of a second: the second group is two seconds old with the picture 75.
        for n in 1..=75 {
            backlog.add(picture(n, n % 25 == 0, false, 100));
        }
        assert_eq!((backlog.first, backlog.messages.len()), (0, 76));
        backlog.add(picture(76, false, false, 100));
        assert_eq!((backlog.first, backlog.messages.len()), (25, 52));
        let Step::Send { content, skipped, .. } = backlog.step(&mut slow) else { panic!("nothing for who is slow") };
        assert_eq!((number(&content), skipped), (75, 74), "the newest group, and what was left out is counted");
        for n in 77..2_000 {
            backlog.add(picture(n, n % 25 == 0, false, 100));
            assert!(backlog.messages.len() <= 76, "{} are kept at {n}", backlog.messages.len());
        }
        // By bytes: of groups of five pictures of 1 MiB as many as fit.
        for n in 2_000..2_100 {
            backlog.add(picture(n, n % 5 == 0, false, 1 << 20));
            assert!(backlog.bytes <= BYTES_MAX, "{} bytes at {n}", backlog.bytes);
        }
        assert!(backlog.messages.len() >= 11 && backlog.messages[0].key);
    }

    #[test]
    fn a_group_that_is_too_large_is_nothing_to_begin_with() {
        let mut backlog = Backlog::default();
        let (mut quick, mut late) = (Place::default(), Place::default());
        for n in 0..30 {
            backlog.add(picture(n, n == 0, n == 0, 1 << 20));
            assert!(matches!(backlog.step(&mut quick), Step::Send { .. }), "{n}");
            assert!(backlog.bytes <= BYTES_MAX);
        }
        assert!(backlog.step(&mut late) == Step::Wait && !backlog.has_key());
        backlog.add(picture(30, true, false, 1 << 20));
        assert!(matches!(backlog.step(&mut late), Step::Send { opening: Some(_), .. }));
    }

    proptest! {
        /// However slowly somebody takes what comes: in order, begun anew only at key frames, every picture either sent or
        /// counted as left out; and what is kept is bounded.
        #[test]
        fn who_is_slow_skips_to_a_key_frame_and_is_counted(
            gop in 1u64..90, bytes in 8usize..400_000, takes in proptest::collection::vec(0usize..12, 1..80), steps in 50u64..400,
        ) {
            let mut backlog = Backlog::default();
            let mut place = Place::default();
            let (mut last, mut left_out) = (None::<u64>, 0);
            for n in 0..steps {
                backlog.add(picture(n, n % gop == 0, n == 0, bytes));
                prop_assert!(backlog.bytes <= BYTES_MAX + bytes);
                let sum: usize = backlog.messages.iter().map(|message| message.content.len()).sum();
                prop_assert_eq!(sum, backlog.bytes);
                for _ in 0..takes[(n / 10) as usize % takes.len()] {
                    let Step::Send { content, skipped, .. } = backlog.step(&mut place) else { break };
                    let now = number(&content);
                    if let Some(last) = last {
                        prop_assert_eq!(now, last + 1 + skipped);
                        prop_assert!(skipped == 0 || now.is_multiple_of(gop));
                        left_out += skipped;
                    } else {
                        prop_assert!(now.is_multiple_of(gop));
                    }
                    last = Some(now);
                }
            }
            // Nobody is more than two seconds and a group behind for long.
            if let (Step::Send { content, .. }, true) = (backlog.step(&mut place), bytes < 10_000) {
                prop_assert!(number(&content) + 52 + 2 * gop > steps, "{} of {}", number(&content), steps);
            }
            prop_assert!(left_out <= steps);
        }
    }
}
