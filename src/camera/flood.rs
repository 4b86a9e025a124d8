//! Tells a device that floods us from one that is silent: both bring no picture. Pure.
//!
//! The RTSP client holds what comes until it is whole and bounds none of it, and says nothing of how much it holds. But it
//! is seen how often it was looked at in vain: that happens where something came and is not whole yet, and hardly ever
//! where nothing comes.
//!
//! What the first such session takes is what the device sends until it is ended. Of a picture that is after five seconds:
//! by TCP what the way to the device carries, 60 MB at 100 Mb/s and 600 MB at 1 Gb/s; by datagrams what the kernel's
//! buffer of a socket holds, once a turn, and in one look never more than a task's 128 reads of 64 KiB. Of an answer it is
//! after 64 looks, 1.3 s of short turns, and tiny headers take a multiple of their size. The sessions after it go through
//! `relay`, by TCP and within its bounds.
//!
//! What is not told: a flood by TCP that has sound in it, as little as usual, ends after five seconds like any pause of the
//! pictures, and the next session is as this one was.

/// A dead connection is looked at a few times, when timers ring; turns of a fifth of a second make 25 looks in five seconds.
const VAIN_LOOKS_MIN: u32 = 16;
/// An answer is a packet or two, and takes a few looks with its login.
const ANSWER_LOOKS_MAX: u32 = 64;
/// More sound than anybody hears: it comes in at most a hundred packets a second.
const BESIDE_MIN: u32 = 4096;

/// What was seen of a connection since its last picture or answer.
#[derive(Debug, Default)]
pub(super) struct Signs {
    vain: u32,
    beside: u32,
}

impl Signs {
    /// A look found nothing whole.
    pub(super) fn in_vain(&mut self) {
        self.vain = self.vain.saturating_add(1);
    }

    /// Something whole came that is no picture.
    pub(super) fn beside(&mut self) {
        self.beside = self.beside.saturating_add(1);
    }

    /// A picture came.
    pub(super) fn picture(&mut self) {
        *self = Self::default();
    }

    /// Whether it was looked more often than any answer needs.
    pub(super) fn are_of_an_endless_answer(&self) -> bool {
        self.vain >= ANSWER_LOOKS_MAX
    }

    /// Whether what came is more than sound that goes on while the pictures pause: after each piece of that, one look is
    /// in vain.
    pub(super) fn are_of_a_flood(&self) -> bool {
        self.vain >= self.beside.saturating_add(VAIN_LOOKS_MIN) || self.beside >= BESIDE_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_sound_alone_are_no_flood() {
        let mut signs = Signs::default();
        (1..VAIN_LOOKS_MIN).for_each(|_| signs.in_vain());
        assert!(!signs.are_of_a_flood());
        signs.in_vain();
        assert!(signs.are_of_a_flood());
        signs.picture();
        // Five seconds of sound, a hundred packets a second.
        (0..500).for_each(|_| {
            signs.beside();
            signs.in_vain();
        });
        assert!(!signs.are_of_a_flood());
        (500..BESIDE_MIN).for_each(|_| signs.beside());
        assert!(signs.are_of_a_flood());
    }
}
