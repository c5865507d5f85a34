//! Plots as SVG: bars in groups, one colour for each server, the figure written on each bar.
//!
//! Written by hand: bars and labels are all there is, and the file stays readable as text.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 36.0;
/// Part of a group's width that its bars fill.
const FILLED: f64 = 0.86;
/// Colours that stay apart for colour-blind readers (Okabe and Ito).
const COLOURS: [&str; 6] = ["#999999", "#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7"];

/// Bars in groups.
#[derive(Debug)]
pub(crate) struct Plot {
    title: String,
    bars: Vec<Bar>,
}

#[derive(Debug)]
struct Bar {
    group: String,
    series: String,
    height: f64,
}

impl Plot {
    /// An empty plot.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), bars: Vec::new() }
    }

    /// Adds the bar of `series` in `group`.
    pub(crate) fn push(&mut self, group: impl Into<String>, series: &str, height: f64) {
        self.bars.push(Bar { group: group.into(), series: series.to_owned(), height });
    }

    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let groups = distinct(self.bars.iter().map(|bar| bar.group.as_str()));
        let series = distinct(self.bars.iter().map(|bar| bar.series.as_str()));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        text(&mut svg, LEFT, 24.0, "start", &self.title);
        legend(&mut svg, &series);
        let group_width = (WIDTH - 2.0 * LEFT) / groups.len().max(1) as f64;
        for (index, group) in groups.iter().enumerate() {
            let left = LEFT + group_width * index as f64;
            self.group(&mut svg, group, &series, left, group_width);
            let middle = left + group_width / 2.0;
            text(&mut svg, middle, HEIGHT - BOTTOM + 20.0, "middle", group);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn group(&self, svg: &mut String, group: &str, series: &[&str], left: f64, width: f64) {
        let highest = self.bars.iter().map(|bar| bar.height).fold(f64::MIN_POSITIVE, f64::max);
        let bar_width = width * FILLED / series.len() as f64;
        for (index, name) in series.iter().enumerate() {
            let bar = self.bars.iter().find(|bar| bar.group == group && bar.series == *name);
            let Some(bar) = bar else { continue };
            // Room for the figure above the highest bar.
            let height = (HEIGHT - TOP - BOTTOM - 16.0) * bar.height / highest;
            let x = left + width * (1.0 - FILLED) / 2.0 + bar_width * index as f64;
            let y = HEIGHT - BOTTOM - height;
            rectangle(svg, [x, y, bar_width * 0.94, height], colour(index));
            let label = figure(bar.height);
            text(svg, x + bar_width / 2.0, y - 4.0, "middle", &label);
        }
    }
}

fn legend(svg: &mut String, series: &[&str]) {
    for (index, name) in series.iter().enumerate() {
        let x = LEFT + 130.0 * index as f64;
        rectangle(svg, [x, 34.0, 12.0, 12.0], colour(index));
        text(svg, x + 18.0, 44.0, "start", name);
    }
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// Three digits, or all before the point.
fn figure(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn rectangle(svg: &mut String, [x, y, width, height]: [f64; 4], fill: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bar_is_drawn_in_the_colour_of_its_series() {
        let mut plot = Plot::new("a < b & c");
        plot.push("P=1", "floor", 5.0);
        plot.push("P=1", "hallpass", 10.0);
        plot.push("P=16", "hallpass", 123.4);
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b &amp; c"));
        // One in the legend, two bars.
        assert_eq!(svg.matches(COLOURS[1]).count(), 3);
        for label in [">5.00<", ">10.0<", ">123<", ">P=16<"] {
            assert!(svg.contains(label), "{label}");
        }
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(Plot::new("empty").svg().contains("empty"));
    }
}
