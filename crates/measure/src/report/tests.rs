use super::*;
use crate::result::{SizeResult, tests::example};

fn elements(page: &str, name: &str) -> usize {
    page.matches(&format!("<{name}")).count()
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let page = html(&[example("one", 3_000_000)]);
    for forbidden in ["<script", "http://", "https://", "@import", "url(", " onload", "<img", "<iframe", "src="] {
        // The name space of SVG would be an address, and is not needed in a page.
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert_eq!(page.matches("href=").count(), page.matches("href=\"data:,\"").count());
}

#[test]
fn one_result_has_every_drawing_and_all_of_its_figures() {
    let page = html(&[example("one", 3_000_000)]);
    // Throughput, cycles, latency of three sizes, loss.
    assert_eq!((elements(&page, "svg"), elements(&page, "figure>")), (6, 6));
    assert_eq!(page.matches("<title id=").count(), 6);
    for figure in
        ["3.000 Mpps", "1.500 Mpps", "600.00 kpps", "123.4", "10 % of PDR", "90 % of PDR", "p99.9", "ports are simulated", "Linux 6.1"]
    {
        assert!(page.contains(figure), "{figure}");
    }
    assert!(page.contains("Example &lt;CPU&gt; &amp; Co") && !page.contains("<CPU>"));
}

#[test]
fn several_results_are_compared_on_the_same_axes() {
    let page = html(&[example("old", 2_000_000), example("new", 3_000_000), example("new", 1_000_000)]);
    assert!(page.contains("comparison of 3 results") && page.contains("new (2)"));
    assert!(page.contains("1.5 (+50.0 %)") && page.contains("0.5 (-50.0 %)"), "ratios to the first");
    // Throughput, cycles, latency and loss of three sizes each.
    assert_eq!(elements(&page, "svg"), 8);
}

#[test]
fn names_that_mean_harm_are_text() {
    let page = html(&[example("<script>alert(1)</script>", 3_000_000)]);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    let table = csv(&[example("=cmd|'x',\"y\"", 3_000_000)]);
    assert!(table.contains("\"'=cmd|'x',\"\"y\"\"\","), "{}", &table[..300]);
}

#[test]
fn a_result_of_which_little_was_measured_has_a_page() {
    let mut result = example("cut", 3_000_000);
    result.partial = Some("SIGINT".to_owned());
    result.sizes = vec![SizeResult { frame_bytes: 64, ..SizeResult::empty() }];
    let page = html(&[result.clone()]);
    assert!(page.contains("Partial: ") && page.contains("SIGINT") && page.contains("not measured"));
    result.sizes.clear();
    assert_eq!(elements(&html(&[result]), "svg"), 0);
}

#[test]
fn the_table_of_lines_has_every_figure_once() {
    let table = csv(&[example("one", 3_000_000), example("two", 2_000_000)]);
    let mut lines = table.lines();
    let columns = lines.next().map(|head| head.split(',').count());
    let lines: Vec<&str> = lines.collect();
    assert!(lines.iter().all(|line| Some(line.split(',').count()) == columns), "each line has as many fields as the head");
    let have = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(have("64,ndr_lower,,3000000,fps"), 1);
    assert_eq!(have("64,ndr_lower,,2000000,fps"), 1);
    assert_eq!(have(",latency_p99,"), 2 * 3 * 3);
}
