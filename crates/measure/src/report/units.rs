//! Figures as people read them.

use super::chart::number;

/// Frames a second: `1.49 Mpps`.
pub(super) fn rate(fps: f64) -> String {
    match fps {
        fps if fps >= 1e6 => format!("{:.3} Mpps", fps / 1e6),
        fps if fps >= 1e3 => format!("{:.2} kpps", fps / 1e3),
        fps => format!("{fps:.0} pps"),
    }
}

/// Bits a second on the line, with what is between frames (20 bytes a frame).
pub(super) fn line_gbps(fps: f64, frame_bytes: u32) -> f64 {
    fps * f64::from((frame_bytes + 20) * 8) / 1e9
}

/// A time: `850 ns`, `12.5 µs`, `3.2 ms`.
pub(super) fn time(ns: f64) -> String {
    match ns {
        ns if ns >= 1e9 => format!("{} s", number(ns / 1e9)),
        ns if ns >= 1e6 => format!("{} ms", number(ns / 1e6)),
        ns if ns >= 1e3 => format!("{} µs", number(ns / 1e3)),
        ns => format!("{ns:.0} ns"),
    }
}

/// A share: `0.5 %`; a tiny one is not shown as none.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.001 => "< 0.001 %".to_owned(),
        percent if percent < 0.1 => format!("{percent:.3} %"),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// A percentile: `p50`, `p99.9`, `least`, `most`.
pub(super) fn percentile(percentile: f64) -> String {
    match percentile {
        0.0 => "least".to_owned(),
        100.0 => "most".to_owned(),
        percentile => format!("p{percentile}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_units() {
        let shown = [rate(14_880_952.4), rate(812_744.0), rate(42.0), time(850.0), time(12_500.0), time(3.2e6), time(2e9)];
        assert_eq!(shown, ["14.881 Mpps", "812.74 kpps", "42 pps", "850 ns", "12.5 µs", "3.2 ms", "2 s"]);
        assert_eq!([0.0, 1e-7, 0.0005, 0.005, 0.25, 1.0].map(percent), ["0 %", "< 0.001 %", "0.050 %", "0.50 %", "25.0 %", "100.0 %"]);
        assert_eq!([0.0, 50.0, 99.9, 100.0].map(percentile), ["least", "p50", "p99.9", "most"]);
        assert!((line_gbps(14_880_952.38, 64) - 10.0).abs() < 1e-6);
    }
}
