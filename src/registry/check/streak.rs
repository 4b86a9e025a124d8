//! From single looks to what is said of an instance: thresholds. Pure.

use crate::{model::Health, registry::Check};

/// What the looks at one instance came to so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Streak {
    rise: u32,
    fall: u32,
    warn: u32,
    /// None: nothing is known yet, and so no request goes there.
    verdict: Option<Health>,
    /// Looks in a row that went so.
    well: u32,
    ill: u32,
}

impl Streak {
    /// Begins with what is known from before.
    pub fn new(check: &Check, verdict: Option<Health>) -> Self {
        let warn = check.warn.unwrap_or(u32::MAX);
        Self { rise: check.rise, fall: check.fall, warn, verdict, well: 0, ill: 0 }
    }

    /// A look found this. What is to be said of the instance now; None: not enough is known.
    ///
    /// A warning is a success: the instance serves. What nothing was known of falls with the first failure, since it
    /// is not served to anyhow, and people see why.
    pub fn found(&mut self, health: Health) -> Option<Health> {
        let was_live = self.verdict.is_some_and(Health::is_live);
        if health.is_live() {
            (self.well, self.ill) = (self.well.saturating_add(1), 0);
            if was_live || self.well >= self.rise {
                self.verdict = Some(health);
            }
        } else {
            (self.well, self.ill) = (0, self.ill.saturating_add(1));
            if !was_live || self.ill >= self.fall {
                self.verdict = Some(Health::Critical);
            } else if self.ill >= self.warn {
                self.verdict = Some(Health::Warning);
            }
        }
        self.verdict
    }

    /// Looks in a row that went as the last one did.
    pub fn in_a_row(&self) -> u32 {
        self.well.max(self.ill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::CheckKind;
    use Health::{Critical, Passing, Warning};
    use proptest::prelude::*;

    fn streak(rise: u32, fall: u32, verdict: Option<Health>) -> Streak {
        Streak::new(&Check { rise, fall, ..Check::new(CheckKind::Tcp) }, verdict)
    }

    #[test]
    fn it_takes_so_many_in_a_row_each_way_and_a_warning_serves() {
        let mut web = streak(2, 3, None);
        let looks = [Passing, Critical, Passing, Warning, Critical, Critical, Passing, Critical, Critical, Critical];
        let said: Vec<_> = looks.iter().map(|look| web.found(*look)).collect();
        let (c, w, p) = (Some(Critical), Some(Warning), Some(Passing));
        assert_eq!(said, [None, c, c, w, w, w, p, p, p, c]);
        assert_eq!((web.in_a_row(), web.found(Warning), web.in_a_row()), (3, c, 1));
        assert_eq!(web.found(Passing), p);
    }

    #[test]
    fn failures_may_be_worth_a_warning_before_they_take_it_out() {
        let check = Check { fall: 3, warn: Some(2), ..Check::new(CheckKind::Tcp) };
        let mut web = Streak::new(&check, Some(Passing));
        let looks = [Critical, Critical, Critical, Critical, Passing, Critical, Critical, Passing];
        let said = looks.map(|look| web.found(look).unwrap());
        assert_eq!(said, [Passing, Warning, Critical, Critical, Passing, Passing, Warning, Passing]);
    }

    #[test]
    fn what_was_live_before_a_restart_falls_as_slowly_as_ever() {
        let mut web = streak(1, 2, Some(Passing));
        assert_eq!((web.found(Critical), web.found(Critical)), (Some(Passing), Some(Critical)));
        let mut web = streak(1, 2, Some(Critical));
        assert_eq!((web.found(Critical), web.found(Passing)), (Some(Critical), Some(Passing)));
    }

    fn look() -> impl Strategy<Value = Health> {
        prop_oneof![Just(Passing), Just(Warning), Just(Critical)]
    }

    proptest! {
        /// Against the definition, over the whole history: it is up exactly if the last `rise` successes in a row came
        /// after the last `fall` failures in a row.
        #[test]
        fn the_last_run_that_is_long_enough_decides(
            rise in 1_u32..5, fall in 1_u32..5, looks in proptest::collection::vec(look(), 1..60)
        ) {
            let mut web = streak(rise, fall, Some(Passing));
            let (mut up, mut run) = (true, (true, 0));
            for look in looks {
                let is_well = look.is_live();
                run = if run.0 == is_well { (is_well, run.1 + 1) } else { (is_well, 1) };
                if run.1 >= if is_well { rise } else { fall } {
                    up = is_well;
                }
                let said = web.found(look).unwrap();
                prop_assert_eq!(said.is_live(), up);
                if up && is_well {
                    prop_assert_eq!(said, look);
                }
            }
        }
    }
}
