//! Medians, of figures and of ratios taken round by round.
//!
//! A ratio is taken inside a round, where both servers met the same neighbours on the machine, and
//! only then the median over rounds: a slow round then spoils no ratio.

/// The middle value, or the mean of the two middle ones; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// The median over rounds of `numerator / denominator`, pairing values of the same round.
pub(crate) fn median_ratio(numerators: &[f64], denominators: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = numerators
        .iter()
        .zip(denominators)
        .filter(|(_, denominator)| **denominator > 0.0)
        .map(|(numerator, denominator)| numerator / denominator)
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, expected: f64) {
        assert!((got.unwrap() - expected).abs() < 1e-9, "{got:?} is not {expected}");
    }

    #[test]
    fn the_median_is_the_middle_value() {
        close(median(&[3.0, 1.0, 2.0]), 2.0);
        close(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        close(median(&[7.0]), 7.0);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round is ten times slower for both: the ratio does not notice.
        close(median_ratio(&[1.0, 10.0, 1.1], &[2.0, 20.0, 2.2]), 0.5);
        assert_eq!(median_ratio(&[1.0], &[0.0]), None);
        assert_eq!(median_ratio(&[], &[1.0]), None);
    }
}
