//! `report.html` in a browser: it needs nothing from elsewhere, fits a phone, follows the colour
//! scheme, and every figure of the run is there. The pictures lie in `target/tmp/report/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fiberwalk_tests::{DIGITS_CONFIG, Finished, REGRESSION_CONFIG, digits, root, waves};
use serde_json::Value;

/// Names of the browser.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// A phone's width, and a desktop's.
const WIDTHS: [u32; 2] = [390, 1280];
/// What makes a page load something, or run something.
const LOADS: [&str; 9] =
    ["http:", "https:", "<script", "<link", "<img", "src=", "url(", "@import", "<iframe"];

/// Frames the page at a width and writes down what it measures: how far the content reaches, the
/// background's colour, and how many labels of plots lie outside their plot.
const HARNESS: &str = r#"<!DOCTYPE html><meta charset="utf-8">
<style>body{margin:0}iframe{border:0;display:block}pre{display:none}</style>
<iframe id="page" src="PAGE" width="WIDTH" height="HEIGHT"></iframe><pre id="result"></pre>
<script>
addEventListener("load", () => {
  const page = document.getElementById("page").contentDocument;
  const outside = [...page.querySelectorAll("figure .plots svg text")].filter(text => {
    const [own, plot] = [text, text.ownerSVGElement].map(e => e.getBoundingClientRect());
    return own.left < plot.left - 1 || own.right > plot.right + 1
        || own.top < plot.top - 1 || own.bottom > plot.bottom + 1;
  });
  const plots = [...page.querySelectorAll("figure .plots svg")];
  document.getElementById("result").textContent = JSON.stringify({
    reach: page.documentElement.scrollWidth,
    height: page.documentElement.scrollHeight,
    background: getComputedStyle(page.body).backgroundColor,
    outside: outside.map(text => text.textContent),
    narrowest: Math.min(...plots.map(plot => plot.getBoundingClientRect().width)),
    unnamed: plots.filter(plot => !plot.querySelector("title").textContent
        || !plot.querySelector("desc").textContent).length,
    titles: [...page.querySelectorAll("h3")].map(title => title.textContent),
    wrong: page.body.innerText.includes("NaN") || page.body.innerHTML.includes("NaN"),
  });
});
</script>"#;

/// The browser in a colour scheme, with its own files in `folder`.
fn browser(folder: &Path, dark: bool) -> Command {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let name = BROWSERS.into_iter().find(runs).expect("chromium is there: see tests/setup");
    let mut command = Command::new(name);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.args(["--allow-file-access-from-files", "--virtual-time-budget=5000"]);
    command.arg(format!("--user-data-dir={}", folder.join("browser").display()));
    // Blink's numbers of dark and light.
    command.arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
    command
}

/// A page framed at a size: a window of a browser without a screen is never narrower than 500 pixels.
fn framed(folder: &Path, page: &Path, width: u32, height: u64) -> String {
    let page = page.canonicalize().expect("the page is there");
    let text = HARNESS
        .replace("PAGE", &format!("file://{}", page.display()))
        .replace("WIDTH", &width.to_string())
        .replace("HEIGHT", &height.to_string());
    let harness = folder.join("harness.html");
    fs::write(&harness, text).expect("writable");
    format!("file://{}", harness.display())
}

/// What the harness measures of a page.
fn measure(folder: &Path, page: &Path, width: u32, dark: bool) -> Value {
    let output = browser(folder, dark)
        .args(["--window-size=1400,1000", "--dump-dom"])
        .arg(framed(folder, page, width, 1000))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let result =
        dom.split_once("<pre id=\"result\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (result, _) = result.unwrap_or_else(|| panic!("no result: {output:?}"));
    let result = result.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&result).unwrap_or_else(|error| panic!("{error}: {result}"))
}

/// Leaves a picture for people to look at.
fn photograph(folder: &Path, page: &Path, name: &str, (width, height): (u32, u64), dark: bool) {
    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&pictures).expect("writable");
    let shade = if dark { "dark" } else { "light" };
    let picture = pictures.join(format!("{name}-{width}-{shade}.png"));
    let _ = fs::remove_file(&picture);
    let output = browser(folder, dark)
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(framed(folder, page, width, height))
        .output()
        .expect("the browser starts");
    assert!(picture.exists(), "{output:?}");
}

/// Everything that holds for any report; returns the titles of its figures.
fn check(folder: &Path, page: &Path, name: &str) -> Vec<String> {
    let html = fs::read_to_string(page).expect("the page is text");
    for load in LOADS {
        assert!(!html.contains(load), "{name}: found {load}");
    }
    let mut titles = Vec::new();
    for width in WIDTHS {
        let [light, dark] = [false, true].map(|dark| measure(folder, page, width, dark));
        for found in [&light, &dark] {
            assert_eq!(found["reach"], width, "{name}: content beyond the window");
            assert_eq!(found["outside"], Value::Array(Vec::new()), "{name}: labels cut off");
            assert_eq!((&found["unnamed"], &found["wrong"]), (&0.into(), &false.into()), "{name}");
            assert!(found["narrowest"].as_f64().expect("a number") >= 250.0, "{name}: {found}");
        }
        assert_ne!(light["background"], dark["background"], "{name}: one colour scheme");
        let found = light["titles"].as_array().expect("a list").iter();
        titles = found.map(|title| title.as_str().expect("text").to_owned()).collect();
        for (dark, found) in [(false, light), (true, dark)] {
            let height = found["height"].as_u64().expect("a number");
            photograph(folder, page, name, (width, height), dark);
        }
    }
    titles
}

/// A folder with a trained run of `csv`.
fn trained(csv: &str, config: &str, target: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("train.csv"), csv).expect("writable");
    fs::write(folder.path().join("small.toml"), config).expect("writable");
    let train = ["train", "train.csv", "--target", target, "--config", "small.toml"];
    Finished::success(folder.path(), train.into_iter().chain(["--out", "run", "--quiet"]));
    folder
}

fn holds(titles: &[String], expected: &[&str]) {
    for title in expected {
        assert!(titles.iter().any(|found| found == title), "no {title} among {titles:?}");
    }
}

#[test]
fn a_classifier_has_a_page_that_any_window_shows() {
    // The temperature is chosen.
    let config = DIGITS_CONFIG.replace("temperature = 0.1\n", "");
    let folder = trained(&digits(0..400), &config, "digit");
    let path = folder.path();
    let own = fs::read(path.join("run/report.html")).expect("training leaves a page");
    fs::write(path.join("test.csv"), digits(400..800)).expect("writable");
    Finished::success(path, ["report", "run"]);
    assert_eq!(fs::read(path.join("run/report.html")).expect("there"), own, "the bytes differ");
    Finished::success(
        path,
        [
            "report",
            "run",
            "test.csv",
            "--target",
            "digit",
            "--ood",
            "test.csv",
            "--out",
            "page.html",
        ],
    );
    let titles = check(path, &path.join("page.html"), "digits");
    holds(
        &titles,
        &[
            "Reliability",
            "Risk against coverage",
            "Doubt of held-out and of foreign rows",
            "NLL against bytes and cost",
            "What a board needs",
            "What a prediction takes",
            "Loss of MAP",
            "The walk",
            "Ends of the walk",
            "Objective of the fit",
            "Latent codes of the particles",
            "Predictive along each latent axis",
            "What was chosen, and why",
            "Hyper-parameters tried",
            "Precisions tried",
        ],
    );
    let page = fs::read_to_string(path.join("page.html")).expect("text");
    // A line for every particle of the walk, in both of its plots, and short ones.
    let walk = page.split_once("id=\"paths\"").and_then(|(_, rest)| rest.split_once("</figure>"));
    let (walk, _) = walk.expect("the walk");
    let paths =
        walk.split("class=\"thread\" d=\"").skip(1).filter_map(|path| path.split('"').next());
    assert_eq!(paths.map(|path| path.matches('M').count()).sum::<usize>(), 2 * 32);
    assert!(walk.len() < 40_000, "{} bytes", walk.len());
    assert!(page.contains("test.csv") && !String::from_utf8_lossy(&own).contains("test.csv"));
}

/// Runs made before traces were kept have a page without their figures.
#[test]
fn what_was_not_recorded_is_left_out() {
    let folder = trained(&waves(0..200), REGRESSION_CONFIG, "height");
    let run = folder.path().join("run");
    let traces = ["map-trace", "latent-trace", "particles/trace-000"];
    for (kept, figure) in traces.iter().zip(["Loss of MAP", "Objective of the fit", "The walk"]) {
        let title = format!("<h3>{figure}</h3>");
        let page = || fs::read_to_string(run.join("report.html")).expect("a page");
        assert!(page().contains(&title), "no {figure}");
        fs::remove_file(run.join(format!("{kept}.safetensors"))).expect("it was kept");
        Finished::success(folder.path(), ["report", "run"]);
        assert!(!page().contains(&title), "{figure}");
    }
}

#[test]
fn a_regressor_has_its_own_figures_and_names_are_escaped() {
    let csv = waves(0..300).replacen("height", "<b>height & co</b>", 1);
    let folder = trained(&csv, REGRESSION_CONFIG, "<b>height & co</b>");
    let page = folder.path().join("run/report.html");
    let html = fs::read_to_string(&page).expect("training leaves a page");
    assert!(html.contains("&lt;b&gt;height &amp; co&lt;/b&gt;") && !html.contains("<b>"));
    let titles = check(folder.path(), &page, "waves");
    holds(&titles, &["Predicted against observed", "PIT histogram", "Interval coverage by decile"]);
}

/// The cost curve has every decoder that was fitted, and the exported artifact as it is.
#[test]
fn every_decoder_has_a_line_and_the_exported_one_is_on_it() {
    let csv = waves(0..300);
    let decoder = "decoder = [\"low-rank:4\", \"low-rank:4\"]\n";
    // A budget that more than one decoder keeps to.
    let config = REGRESSION_CONFIG.replace(decoder, "") + "[export]\ncost = 40.0\nflash = 100.0\n";
    let folder = trained(&csv, &config, "height");
    let path = folder.path();
    let json = |name: &str| -> Value {
        let bytes = fs::read(path.join("run").join(name)).expect("training leaves it");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let curve = json("cost-curve.json");
    let decoders = curve["decoders"].as_array().expect("a list");
    assert_eq!(decoders.len(), json("latent.json")["candidates"].as_array().expect("a list").len());
    assert!(decoders.len() > 1, "{curve}");
    for decoder in decoders {
        let points = decoder["points"].as_array().expect("a list");
        let samples: Vec<_> = points.iter().map(|point| point["samples"].as_u64()).collect();
        assert_eq!(samples, [1, 2, 4, 8, 16].map(Some));
        let grows =
            |key: &str| points.is_sorted_by(|one, next| one[key].as_f64() < next[key].as_f64());
        assert!(grows("bytes") && grows("passes"), "{decoder}");
    }
    let taken = curve["exported_decoder"].as_u64().expect("a number") as usize;
    let exported = &decoders[taken]["points"][4];
    let file = fs::metadata(path.join("run/model.fwk")).expect("training leaves it");
    assert_eq!(exported["bytes"], file.len());
    // The same rows, by the artifact itself.
    let lines: Vec<&str> = csv.lines().collect();
    let data = json("data.json");
    let aside = data["split"]["calibration"].as_array().expect("a list").iter();
    let rows = aside.map(|row| lines[1 + row.as_u64().expect("a number") as usize]);
    let aside: String = [lines[0]].into_iter().chain(rows).flat_map(|line| [line, "\n"]).collect();
    fs::write(path.join("aside.csv"), aside).expect("writable");
    let evaluate = ["evaluate", "run", "aside.csv", "--target", "height", "--json"];
    Finished::success(path, evaluate.into_iter().chain(["run/scores.json"]));
    let scores = json("scores.json");
    let [own, its] = [&exported["nll"], &scores["nll"]].map(|nll| nll.as_f64().expect("a number"));
    assert!((own - its).abs() < 1e-9, "{own} on the curve, {its} by evaluate");
    check(path, &path.join("run/report.html"), "two-decoders");
}

/// Inputs that can be drawn whole: one feature, and two.
#[test]
fn few_inputs_are_drawn_whole() {
    let columns = |csv: &str, chosen: &[usize]| -> String {
        let line = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            chosen.iter().map(|&column| fields[column]).collect::<Vec<_>>().join(",") + "\n"
        };
        csv.lines().map(line).collect()
    };
    let one = trained(&columns(&waves(0..300), &[0, 3]), REGRESSION_CONFIG, "height");
    let titles = check(one.path(), &one.path().join("run/report.html"), "one-feature");
    holds(&titles, &["Predictive over the input"]);

    let config = DIGITS_CONFIG.replace("[3, 1, 0.3]", "[1, 1, 0.3]");
    let two = trained(&columns(&waves(0..300), &[0, 3, 2]), &config, "kind");
    let titles = check(two.path(), &two.path().join("run/report.html"), "two-features");
    holds(&titles, &["Predictive over the inputs"]);
}

#[test]
fn a_missing_run_and_a_missing_target_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = Finished::run(folder.path(), ["report", "nowhere"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("nowhere"), "{}", missing.stderr);
    let digits = root().join("trainer/data/digits.csv");
    let lone =
        Finished::run(folder.path(), ["report", digits.to_str().expect("text"), "--target", "x"]);
    assert_eq!(lone.code, Some(2), "{lone:?}");
}
