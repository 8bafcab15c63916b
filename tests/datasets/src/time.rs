//! Times as data sets write them, in UTC: `2018-10-29 03:32:08.296000`, or a week, `201844`.

use plaudit_event::Timestamp;

/// Reads a time; nothing when `text` is none.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once([' ', 'T'])?;
    let mut parts = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !in_range || !digits || fraction.is_empty() {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp::from_millis(seconds * 1_000 + millis))
}

/// The first moment of a week written as year and number, such as `201844`: week 1 begins on the first Monday of the
/// year, and week 0 are the days before it (`%W` of `strftime`). Nothing when there is no such week.
pub(crate) fn week_start(week: u32) -> Option<Timestamp> {
    let (year, number) = (i64::from(week / 100), i64::from(week % 100));
    let (first, last) = (days_since_epoch(year, 1, 1), days_since_epoch(year, 12, 31));
    // 1970-01-01 was a Thursday.
    let monday = first + (4 - first).rem_euclid(7);
    let start = first.max(monday + (number - 1) * 7);
    let exists = year >= 1 && start <= last && (number > 0 || monday > first);
    exists.then(|| Timestamp::from_millis(start * 24 * 3_600_000))
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counting years from March so that
/// the leap day is the last one.
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        let at = |text| parse(text).map(Timestamp::as_millis);
        assert_eq!(at("1970-01-01 00:00:00"), Some(0));
        assert_eq!(at("2018-10-29 03:32:08.296000"), Some(1_540_783_928_296));
        assert_eq!(at("2018-10-29 09:08:40"), Some(1_540_804_120_000));
        assert_eq!(at("2000-02-29T12:00:00.5"), Some(951_825_600_500));
        assert_eq!(at("1969-12-31 23:59:59"), Some(-1_000));
    }

    /// Numbers from Python's `datetime.strftime("%Y%W")`.
    #[test]
    fn weeks_begin_on_mondays_and_the_first_on_new_year() {
        let start = |week| week_start(week).map(Timestamp::as_millis);
        let day = |text: &str| parse(&format!("{text} 00:00:00")).map(Timestamp::as_millis);
        for (week, first_day) in [
            (201_325, "2013-06-24"),
            (201_352, "2013-12-30"),
            (201_400, "2014-01-01"),
            (201_401, "2014-01-06"),
            (201_500, "2015-01-01"),
            (201_517, "2015-04-27"),
            (201_801, "2018-01-01"),
            (201_253, "2012-12-31"),
        ] {
            assert_eq!(start(week), day(first_day), "{week}");
        }
        for week in [0, 201_800, 201_353, 201_399] {
            assert_eq!(start(week), None, "{week}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2018-10-29",
            "2018-13-01 00:00:00",
            "2018-02-29 00:00:00",
            "2018-10-29 24:00:00",
            "2018-10-29 03:32",
            "2018-10-29 03:32:08.",
            "2018-10-29 03:32:08.2x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
