//! Time zones, and the moments at which their clocks are put forward or back.

use std::str::FromStr;

use chrono::{DateTime, Offset as _, TimeZone as _};
use chrono_tz::{TZ_VARIANTS, Tz};

/// Seconds since 1970.
pub(super) type Secs = i64;

/// How far apart the moments are at which a zone is looked at: no zone changes its clocks twice within this.
const STEP: Secs = 12 * 3_600;

/// A time zone of the IANA data base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zone(Tz);

/// A moment at which clocks are put forward or back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    /// The first second of the new time.
    pub(super) at: Secs,
    /// How far ahead of UTC clocks were before.
    pub(super) before: Secs,
    /// How far they are ahead from then on.
    pub(super) after: Secs,
}

impl Zone {
    /// The zone of zones.
    pub const UTC: Self = Self(Tz::UTC);

    /// Every zone that there is.
    pub fn all() -> impl Iterator<Item = Self> {
        TZ_VARIANTS.iter().copied().map(Self)
    }

    /// Its name, such as `Europe/London`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// How far its clocks are ahead of UTC.
    pub(super) fn offset(self, at: Secs) -> Secs {
        let at = DateTime::from_timestamp(at, 0).unwrap_or_default().naive_utc();
        self.0.offset_from_utc_datetime(&at).fix().local_minus_utc().into()
    }

    /// The first change after a moment, up to and with another one.
    pub(super) fn change(self, after: Secs, until: Secs) -> Option<Change> {
        if self == Self::UTC {
            return None;
        }
        let (mut from, mut before) = (after, self.offset(after));
        while from < until {
            let to = (from + STEP).min(until);
            let offset = self.offset(to);
            if offset != before {
                return Some(self.narrowed(from, to, before));
            }
            (from, before) = (to, offset);
        }
        None
    }

    /// The last change up to and with a moment, not before another one.
    pub(super) fn change_before(self, at: Secs, since: Secs) -> Option<Change> {
        if self == Self::UTC {
            return None;
        }
        let (mut to, mut after) = (at, self.offset(at));
        while to > since {
            let from = (to - STEP).max(since);
            let offset = self.offset(from);
            if offset != after {
                return Some(self.narrowed(from, to, offset));
            }
            (to, after) = (from, offset);
        }
        None
    }

    fn narrowed(self, mut from: Secs, mut to: Secs, before: Secs) -> Change {
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            if self.offset(middle) == before { from = middle } else { to = middle }
        }
        Change { at: to, before, after: self.offset(to) }
    }
}

impl FromStr for Zone {
    /// What to do about it.
    type Err = Option<String>;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = name.parse::<Tz>().ok().map(Self);
        found.ok_or_else(|| {
            let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
            // A city is enough to know what is meant.
            let city = |zone: &&str| {
                zone.rsplit('/')
                    .next()
                    .is_some_and(|city| city.eq_ignore_ascii_case(&name.trim().replace(' ', "_")))
            };
            match names().find(city) {
                Some(zone) => Some(format!("did you mean {zone:?}?")),
                None => config::fault::suggest(name, names())
                    .or_else(|| Some("write a name of the IANA data base, such as Europe/London".to_owned())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_clocks_are_found_from_both_sides() {
        let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
        let spring = Change { at: 1_774_746_000, before: 3_600, after: 7_200 };
        assert_eq!(berlin.change(1_774_700_000, 1_774_746_000), Some(spring));
        assert_eq!(berlin.change(1_774_700_000, 1_774_745_999), None);
        assert_eq!(berlin.change(1_774_746_000, 1_774_800_000), None);
        assert_eq!(berlin.change_before(1_774_746_000, 1_774_700_000), Some(spring));
        assert_eq!(berlin.change_before(1_774_745_999, 1_774_700_000), None);
    }

    #[test]
    fn a_zone_that_is_none_comes_with_a_proposal() {
        let hint = |name: &str| name.parse::<Zone>().expect_err(name).unwrap_or_default();
        assert_eq!(hint("Europe/Londn"), "did you mean \"Europe/London\"?");
        assert_eq!(hint("europe/london"), "did you mean \"Europe/London\"?");
        assert_eq!(hint("New York"), "did you mean \"America/New_York\"?");
        assert!(hint("Middle-earth/Shire-on-the-Water").contains("IANA"));
    }
}
