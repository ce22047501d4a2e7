//! When a leader hands over to another member: to the one that the layout prefers, or before a planned stop.
//!
//! Invariant: nobody is handed to who is not held alive by gossip and by the group, or who has no vote; to the preferred
//! member only when it has been fit for a while, so that a node that comes and goes does not drag leaders along. Pure: the
//! owner looks and hands over. Not here: who is preferred (`ring/`).

use crate::raft::ReplicaId;

/// A preferred member is handed to after so many ticks in which it was fit: 3 s with ticks of 100 ms.
pub(crate) const BALANCE_TICKS_DEFAULT: u32 = 30;

/// How many entries it may lag behind meanwhile; a leader sends it the rest before it hands over.
pub(crate) const BALANCE_LAG_MAX_DEFAULT: u64 = 64;

/// After an attempt that has failed the next one waits twice as long, up to so many times the first.
const PATIENCE_FACTOR_MAX: u32 = 32;

/// When a leader hands over to the preferred member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BalanceSettings {
    /// It has been fit for so many ticks.
    pub(crate) after_ticks: u32,
    /// It lags behind by at most so many entries.
    pub(crate) lag_max: u64,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self {
            after_ticks: BALANCE_TICKS_DEFAULT,
            lag_max: BALANCE_LAG_MAX_DEFAULT,
        }
    }
}

/// Another member, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The member.
    pub(crate) replica: ReplicaId,
    /// Whether it has a vote.
    pub(crate) is_voter: bool,
    /// It has everything up to here.
    pub(crate) matched: u64,
    /// Whether the group has heard of it lately.
    pub(crate) is_active: bool,
    /// Whether gossip holds its node for alive, neither suspect nor down.
    pub(crate) is_alive: bool,
}

impl Candidate {
    fn is_fit(&self) -> bool {
        self.is_voter && self.is_active && self.is_alive
    }
}

/// A leader's view of its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leading<'a> {
    /// Its term.
    pub(crate) term: u64,
    /// Its last entry.
    pub(crate) last: u64,
    /// Whom the layout prefers to lead; `None` if it is this member, or nobody.
    pub(crate) preferred: Option<ReplicaId>,
    /// Whether leadership or membership is being changed already, or the leader has not yet applied an entry of its term.
    pub(crate) is_changing: bool,
    /// The other members.
    pub(crate) others: &'a [Candidate],
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Balance {
    settings: BalanceSettings,
    /// For whom, and in which term, the ticks are counted.
    waits_for: Option<(ReplicaId, u64)>,
    fit_ticks: u32,
    /// How many ticks the next attempt waits, as a multiple of the first one's.
    factor: u32,
}

impl Balance {
    /// A leader that has seen nothing yet.
    pub(crate) fn new(settings: BalanceSettings) -> Self {
        Self {
            settings,
            waits_for: None,
            fit_ticks: 0,
            factor: 1,
        }
    }

    /// A tick has passed; `None` for a member that does not lead. Says to whom to hand over now.
    pub(crate) fn tick(&mut self, leading: Option<&Leading<'_>>) -> Option<ReplicaId> {
        let waits_for = leading.and_then(|leading| Some((leading.preferred?, leading.term)));
        if waits_for != self.waits_for {
            self.waits_for = waits_for;
            (self.fit_ticks, self.factor) = (0, 1);
        }
        let (leading, (preferred, _)) = (leading?, waits_for?);
        let is_ready = !leading.is_changing
            && leading.others.iter().any(|other| {
                let lag = leading.last.saturating_sub(other.matched);
                other.replica == preferred && other.is_fit() && lag <= self.settings.lag_max
            });
        if !is_ready {
            self.fit_ticks = 0;
            return None;
        }
        self.fit_ticks = self.fit_ticks.saturating_add(1);
        if self.fit_ticks < self.settings.after_ticks.saturating_mul(self.factor) {
            return None;
        }
        // Should this leader still lead in this term afterwards, the attempt has failed.
        self.fit_ticks = 0;
        self.factor = (self.factor * 2).min(PATIENCE_FACTOR_MAX);
        Some(preferred)
    }
}

/// To whom a leader hands over before it stops: of those that are fit, the one that has most, and of these the first;
/// `None` if nobody is fit.
pub(crate) fn successor(others: &[Candidate]) -> Option<ReplicaId> {
    let fit = others.iter().filter(|other| other.is_fit());
    let best = fit.max_by_key(|other| (other.matched, std::cmp::Reverse(other.replica)));
    best.map(|other| other.replica)
}

/// Whether a majority of each of these is there: of the voters, and of those before a change that is under way. Without it, a
/// hand-over waits for votes that do not come.
pub(crate) fn has_majorities(voters: [&[ReplicaId]; 2], is_there: impl Fn(ReplicaId) -> bool) -> bool {
    voters.iter().all(|voters| {
        let there = voters.iter().filter(|voter| is_there(**voter)).count();
        voters.is_empty() || there * 2 > voters.len()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const PREFERRED: ReplicaId = ReplicaId(2);
    const SETTINGS: BalanceSettings = BalanceSettings {
        after_ticks: 5,
        lag_max: 10,
    };

    fn fit(replica: u64, matched: u64) -> Candidate {
        Candidate {
            replica: ReplicaId(replica),
            is_voter: true,
            matched,
            is_active: true,
            is_alive: true,
        }
    }

    fn leading(others: &[Candidate]) -> Leading<'_> {
        Leading {
            term: 3,
            last: 100,
            preferred: Some(PREFERRED),
            is_changing: false,
            others,
        }
    }

    /// After how many ticks it hands over, if it does within a thousand.
    fn ticks(balance: &mut Balance, leading: &Leading<'_>) -> Option<usize> {
        (1..=1000).find(|_| balance.tick(Some(leading)) == Some(PREFERRED))
    }

    #[test]
    fn the_preferred_member_is_handed_to_when_it_has_been_fit_for_a_while() {
        let others = [fit(2, 90), fit(3, 100)];
        assert_eq!(ticks(&mut Balance::new(SETTINGS), &leading(&others)), Some(5));
    }

    #[test]
    fn nobody_is_handed_to_who_is_not_fit() {
        type Case = (&'static str, fn(&mut Candidate));
        let cases: [Case; 5] = [
            ("it lags", |other| other.matched = 89),
            ("its node is down", |other| other.is_alive = false),
            ("the group does not hear of it", |other| other.is_active = false),
            ("it learns", |other| other.is_voter = false),
            ("it is no member", |other| other.replica = ReplicaId(9)),
        ];
        for (case, change) in cases {
            let mut others = [fit(2, 100), fit(3, 100)];
            change(&mut others[0]);
            assert_eq!(
                ticks(&mut Balance::new(SETTINGS), &leading(&others)),
                None,
                "{case}"
            );
        }
        let others = [fit(2, 100)];
        let changing = Leading {
            is_changing: true,
            ..leading(&others)
        };
        assert_eq!(ticks(&mut Balance::new(SETTINGS), &changing), None);
        let content = Leading {
            preferred: None,
            ..leading(&others)
        };
        assert_eq!(ticks(&mut Balance::new(SETTINGS), &content), None);
    }

    #[test]
    fn the_count_begins_anew_after_a_tick_in_which_it_was_not_fit_or_this_one_did_not_lead() {
        let others = [fit(2, 100)];
        let unfit = [Candidate {
            is_alive: false,
            ..others[0]
        }];
        let (unfit, later) = (
            leading(&unfit),
            Leading {
                term: 4,
                ..leading(&others)
            },
        );
        for between in [Some(&unfit), None] {
            let mut balance = Balance::new(SETTINGS);
            for _ in 0..4 {
                assert_eq!(balance.tick(Some(&leading(&others))), None);
            }
            assert_eq!(balance.tick(between), None);
            assert_eq!(ticks(&mut balance, &leading(&others)), Some(5));
        }
        let mut balance = Balance::new(SETTINGS);
        for _ in 0..4 {
            assert_eq!(balance.tick(Some(&leading(&others))), None);
        }
        assert_eq!(ticks(&mut balance, &later), Some(5), "led anew");
    }

    #[test]
    fn attempts_that_fail_become_rare() {
        let others = [fit(2, 100)];
        let mut balance = Balance::new(SETTINGS);
        let waits: Vec<_> = (0..8)
            .map(|_| ticks(&mut balance, &leading(&others)).unwrap())
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 160, 160]);
        assert_eq!(balance.tick(None), None);
        assert_eq!(
            ticks(&mut balance, &leading(&others)),
            Some(5),
            "it has led anew since"
        );
    }

    #[test]
    fn before_a_stop_the_one_that_has_most_follows_and_the_first_of_equals() {
        assert_eq!(successor(&[]), None);
        assert_eq!(successor(&[fit(4, 8), fit(2, 9), fit(3, 9)]), Some(ReplicaId(2)));
        let down = Candidate {
            is_alive: false,
            ..fit(5, 99)
        };
        assert_eq!(successor(&[down, fit(4, 8)]), Some(ReplicaId(4)));
        assert_eq!(successor(&[down]), None);
    }

    #[test]
    fn somebody_is_elected_by_a_majority_of_those_before_a_change_and_after_it() {
        let replicas = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect::<Vec<_>>();
        let there = replicas(&[1, 2, 3]);
        let has = |voters: &[u64], outgoing: &[u64]| {
            let (voters, outgoing) = (replicas(voters), replicas(outgoing));
            has_majorities([&voters, &outgoing], |id| there.contains(&id))
        };
        assert!(has(&[1], &[]));
        assert!(has(&[1, 2, 9], &[]));
        assert!(!has(&[1, 8, 9], &[]));
        assert!(!has(&[1, 2, 8, 9], &[]), "a half is no majority");
        assert!(has(&[1, 2, 9], &[1, 3, 8]));
        assert!(!has(&[1, 2, 9], &[1, 8, 9]));
        assert!(!has(&[1, 8, 9], &[1, 2, 3]));
    }

    proptest! {
        #[test]
        fn whoever_is_handed_to_is_fit(
            ticks in proptest::collection::vec((any::<[bool; 5]>(), 80_u64..110), 0..60),
        ) {
            let mut balance = Balance::new(SETTINGS);
            let mut fit_for = 0;
            for ([leads, is_voter, is_active, is_alive, is_changing], matched) in ticks {
                // Mostly fit, or nothing would ever happen.
                let other = Candidate {
                    replica: PREFERRED,
                    is_voter: is_voter || matched % 4 != 0,
                    matched,
                    is_active: is_active || matched % 3 != 0,
                    is_alive: is_alive || matched % 5 != 0,
                };
                let others = [other];
                let leading = Leading { is_changing: is_changing && matched % 7 == 0, ..leading(&others) };
                let leads = leads || matched % 6 != 0;
                let is_fit = leads && other.is_fit() && matched >= 90 && !leading.is_changing;
                fit_for = if is_fit { fit_for + 1 } else { 0 };
                let handed = balance.tick(leads.then_some(&leading));
                prop_assert!(handed.is_none() || fit_for >= SETTINGS.after_ticks);
                if let Some(to) = handed {
                    prop_assert_eq!(to, PREFERRED);
                    fit_for = 0;
                }
            }
        }
    }
}
