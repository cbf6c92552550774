//! Images, arrays and series from file to prediction, as `docs/data.md` shows them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use fiberwalk_tests::{
    DIGITS_CONFIG, Finished, SIDE, colourful, contents, difference, digits, npy, sensor,
};

/// Pixels and labels of some of the bundled digits.
fn images(rows: impl Iterator<Item = usize>) -> (Vec<u8>, Vec<u8>) {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in digits(rows).lines().skip(1) {
        let mut fields: Vec<u8> =
            line.split(',').map(|field| field.parse().expect("a pixel")).collect();
        labels.extend(fields.pop());
        pixels.extend(fields);
    }
    (pixels, labels)
}

fn idx(shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let lengths = shape.iter().flat_map(|&length| (length as u32).to_be_bytes());
    [0, 0, 8, shape.len() as u8]
        .into_iter()
        .chain(lengths)
        .chain(elements.iter().copied())
        .collect()
}

/// Writes 800 digits to train on and 200 to test on as idx files; returns pixels and labels of the latter.
fn write_digits(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("writable");
    let (pixels, labels) = images((0..1000).filter(|row| row % 5 != 3));
    let (test, truth) = images((0..1000).filter(|row| row % 5 == 3));
    write("train-images-idx3-ubyte", &idx(&[800, 8, 8], &pixels));
    write("train-labels-idx1-ubyte", &idx(&[800], &labels));
    write("t10k-images-idx3-ubyte", &idx(&[200, 8, 8], &test));
    write("t10k-labels-idx1-ubyte", &idx(&[200], &truth));
    (test, truth)
}

fn run(folder: &Path, arguments: &str) -> String {
    Finished::success(folder, arguments.split_whitespace()).stdout
}

fn refused(folder: &Path, arguments: &str, parts: &[&str]) {
    let before = contents(folder);
    let Finished { code, stderr, .. } = Finished::run(folder, arguments.split_whitespace());
    assert_eq!(code, Some(1), "{arguments}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{arguments}: no `{part}` in: {stderr}");
    }
    let left = difference(&before, &contents(folder));
    assert!(left.is_empty(), "{arguments}: left behind or changed: {left:?}");
}

fn score(shown: &str, name: &str) -> f64 {
    let line = shown.lines().find(|line| line.starts_with(name)).expect("the score is shown");
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn images_are_learned_and_predicted_whatever_holds_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("writable");
    let (test, truth) = write_digits(folder);
    write("test.npy", &npy("200, 8, 8", &test));
    write("truth.npy", &npy("200,", &truth));
    write("config.toml", DIGITS_CONFIG.as_bytes());

    run(folder, "train train-images-idx3-ubyte --take 600 --config config.toml --out run");
    let data = fs::read_to_string(folder.join("run/data.json")).expect("a record");
    let data: String = data.split_whitespace().collect();
    assert!(data.contains("\"rows\":600") && data.contains("\"image\":{\"height\":8,\"width\":8"));
    let shown = run(folder, "evaluate run t10k-images-idx3-ubyte");
    assert!(score(&shown, "accuracy") > 0.85, "{shown}");
    assert_eq!(run(folder, "evaluate run/model.fwk test.npy --labels truth.npy"), shown);
    run(folder, "predict run test.npy --out a.csv");
    run(folder, "predict run t10k-images-idx3-ubyte --out b.csv");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("predictions");
    assert_eq!((read("a.csv").lines().count(), read("a.csv")), (201, read("b.csv")));
    run(folder, "report run t10k-images-idx3-ubyte --ood test.npy --out page.html");

    write("wide.npy", &npy("200, 4, 16", &test));
    refused(folder, "predict run wide.npy --out c.csv", &["wide.npy", "4 × 16 × 1", "8 × 8 × 1"]);
    refused(folder, "train test.npy --out other", &["test.npy", "`labels`"]);
    refused(folder, "train run/data.csv --out other", &["run/data.csv", "--target"]);
}

#[test]
fn convolutions_are_learned_compared_and_inspected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("writable");
    write_digits(folder);
    let hidden = "hidden = [\"conv 3x3x8\", \"max 2\", \"conv 2x2x8 padding same skip 0 relu\"]";
    let config = |hidden: &str| {
        let network =
            DIGITS_CONFIG.lines().find(|line| line.starts_with("hidden")).expect("layers");
        DIGITS_CONFIG.replace(network, hidden)
            + "[export]\ninput = \"u8\"\nweight_bits = [8, 8, 8]\n"
    };
    write("config.toml", config(hidden).as_bytes());
    // Test and foreign rows of their own; here the foreign ones are the digits, and no one tells them.
    let compare = "compare train-images-idx3-ubyte --test t10k-images-idx3-ubyte --ood t10k-images-idx3-ubyte \
                   --config config.toml --repeats 1 --methods map,ensemble,particles,artifact --members 2 \
                   --out compared";
    let table = run(folder, compare);
    let row = table.lines().find(|line| line.starts_with("| exported artifact")).expect("a row");
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let (accuracy, auroc): (f64, f64) =
        (cells[3].parse().expect("a number"), cells[6].parse().expect("a number"));
    assert!(accuracy > 0.85 && auroc == 0.5, "{table}");
    let shown = run(folder, "inspect compared/split-0/run/model.fwk");
    for part in [
        "input      8 × 8 × 1 (u8)",
        "conv 3 × 3, 8 × 8 × 1 → 6 × 6 × 8, max 2 × 2 → 3 × 3 × 8, tanh int8",
        "conv 2 × 2, 3 × 3 × 8 → 3 × 3 × 8, relu int",
        "layer 2    72 → 10 logits",
    ] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    let module =
        fs::read_to_string(folder.join("compared/split-0/run/model.rs")).expect("a module");
    assert!(module.contains("pub const INPUT: [usize; 3] = [8, 8, 1];"), "{module}");
    let evaluated = run(folder, "evaluate compared/split-0/run/model.fwk t10k-images-idx3-ubyte");
    assert_eq!(score(&evaluated, "accuracy"), accuracy);

    for (hidden, part) in [
        ("[\"conv 9x9x2\", 4]", "larger than the map before it, 8 × 8 × 1"),
        ("[\"max 2\"]", "pooling follows a convolution"),
        ("[\"conv 3\"]", "height x width x channels"),
        ("[\"conv 3x3x4 skip 0\"]", "no earlier layer"),
    ] {
        write("wrong.toml", format!("[network]\nhidden = {hidden}\n").as_bytes());
        let train = "train train-images-idx3-ubyte --config wrong.toml --out other";
        refused(folder, train, &[part]);
    }
    write("wrong.toml", format!("[network]\n{hidden}\n").as_bytes());
    let train = "train train-images-idx3-ubyte --config wrong.toml --walk-layers 2 --out other";
    refused(folder, train, &["walk.layers", "walk 3 layers"]);
}

#[test]
fn windows_are_learned_and_cut_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let mut csv = String::from("person,device,a,b,activity\n");
    for row in 0..4320 {
        let (recording, time) = (row / 60, row % 60);
        let (activity, speed) = [("rest", 0.0), ("walk", 0.4), ("run", 0.9)][recording % 3];
        let angle = speed * f64::from(time as u32) + (row * 7 % 13) as f64 / 26.0;
        let (a, b) = (angle.sin(), angle.cos());
        csv += &format!("{},{},{a:.3},{b:.3},{activity}\n", recording / 6, recording / 3 % 2);
    }
    fs::write(folder.join("motion.csv"), &csv).expect("writable");
    fs::write(folder.join("config.toml"), DIGITS_CONFIG).expect("writable");
    let train =
        "train motion.csv --target activity --config config.toml --out run --window 12 --stride 6";
    let told = Finished::success(folder, format!("{train} --group person,device").split(' '));
    assert!(told.stderr.contains("648 windows of 12 rows every 6"), "{}", told.stderr);
    let shown = run(folder, "evaluate run motion.csv");
    assert!(score(&shown, "accuracy") > 0.9, "{shown}");
    let again = "evaluate run/model.fwk motion.csv --window 12 --stride 6 --group person,device";
    assert_eq!(run(folder, again), shown);
    // A recording of 180 rows, whatever is done in it, has 29 windows.
    run(folder, "predict run motion.csv --out p.csv");
    let predictions = fs::read_to_string(folder.join("p.csv")).expect("predictions");
    assert_eq!(predictions.lines().count(), 1 + 24 * 29);
    let compare = "compare motion.csv --target activity --config config.toml --window 12 --group person \
                   --repeats 1 --methods map,laplace-last-layer,artifact --out compared";
    let table = run(folder, compare);
    assert!(table.contains("| exported artifact"), "{table}");
    assert_eq!(run(folder, compare).lines().last(), table.lines().last(), "a finished run is read");

    refused(folder, &format!("{train} --resume"), &["windows", "another directory"]);
    refused(folder, "predict run/model.fwk motion.csv --out q.csv", &["`window` 12"]);
    refused(folder, "predict run motion.csv --window 9 --out q.csv", &["found `window` 9"]);
    let long = "train motion.csv --target activity --out other --window 61 --group person";
    refused(folder, long, &["`window` 61", "longest has 60"]);
    let none = "train motion.csv --target activity --out other --window 6 --group place";
    refused(folder, none, &["no column `place`"]);
}

/// Columns as people have them: spellings of classes, latitudes, and mistakes that must not pass for data.
#[test]
fn columns_of_all_kinds_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("writable");
    write("config.toml", DIGITS_CONFIG);
    let csv = |target: &dyn Fn(usize, bool) -> String| {
        let row = |row: usize| {
            let (x, y) =
                ((row * 7 % 100) as f64 / 50.0 - 1.0, (row * 13 % 100) as f64 / 50.0 - 1.0);
            let latitude = 52.52 + 2e-5 * x;
            format!("{latitude:.8},{y:.2},{}\n", target(row, x + 0.3 * y > 0.0))
        };
        "lat,b,y\n".to_owned() + &(0..300).map(row).collect::<String>()
    };
    let spelled = |row: usize, north: bool| match (north, row % 2) {
        (true, 0) => "1".to_owned(),
        (true, _) => "1.0".to_owned(),
        (false, 0) => "0.0".to_owned(),
        (false, _) => "00".to_owned(),
    };
    write("train.csv", &csv(&spelled));
    write("test.csv", &csv(&|_, north| f32::from(u8::from(north)).to_string()));
    write("blank.csv", &csv(&|_, _| String::new()));
    let train = "train train.csv --target y --config config.toml --out run";
    let told = Finished::success(folder, train.split(' ')).stderr;
    assert!(told.contains("2 different whole numbers") && told.contains("lat-52.52"), "{told}");
    let shown = run(folder, "evaluate run test.csv");
    assert!(score(&shown, "accuracy") > 0.9, "{shown}");
    run(folder, "predict run blank.csv --out p.csv");
    let predictions = fs::read_to_string(folder.join("p.csv")).expect("predictions");
    assert_eq!(predictions.lines().count(), 301);
    let lone = "predict run/model.fwk test.csv --out q.csv";
    refused(folder, lone, &["missing: `lat-52.52`"]);

    write("open.csv", &csv(&spelled).replace("\n", "\n\"").replacen('"', "", 150));
    refused(folder, "predict run open.csv --out q.csv", &["line 152", "the quoted field 1"]);
    write("ovf.csv", &csv(&spelled).replacen(",-1.00,", ",ovf,", 1));
    let train = "train ovf.csv --target y --config config.toml --out other";
    refused(folder, train, &["column `b`", "expected a finite number, as in 299 of 300 rows"]);
    write("far.csv", &csv(&|row, _| format!("{}e17", row + 1)));
    let train = "train far.csv --target y --config config.toml --out other";
    refused(
        folder,
        train,
        &["row 11 (line 12), column `y`: found `11e17`, expected a number to predict"],
    );
}

/// Settings under which a network of 48 inputs is walked within seconds.
const QUICK: &str = "\
[map]
prior_precision = 1.0
steps = 150
[walk]
particles = 8
maps = 1
steps = 60
drift = \"isotropic\"
temperature = 0.1
[latent]
dim = 2
decoder = [\"frozen\", \"frozen\", \"low-rank:2\"]
steps = 200
[calibration]
fraction = 0.2
[network]
";

/// Their classes, in the order of the channel that is brightest.
const COLOURS: [&str; 3] = ["red", "green", "blue"];

fn write_png(path: &Path, pixels: &[u8]) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("writable");
    let file = fs::File::create(path).expect("writable");
    let mut encoder = png::Encoder::new(file, SIDE as u32, SIDE as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("writable");
    writer.write_image_data(pixels).expect("as many as the size says");
}

/// Classes that the sensor example answers with for rows of values.
fn sensed(model: &Path, rows: &[u8], width: usize) -> Vec<String> {
    let mut command = sensor();
    command.arg(model).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let lines = rows
        .chunks_exact(width)
        .map(|row| row.iter().map(u8::to_string).collect::<Vec<_>>().join(",") + "\n");
    let lines: String = lines.collect();
    let mut input = child.stdin.take().expect("piped");
    let feed = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let finished = Finished::from(child.wait_with_output().expect("the program ends"));
    feed.join().expect("no panic").expect("all rows are read");
    let class = |line: &str| line.split([' ', ',']).nth(1).expect("a class").to_owned();
    finished.stdout.lines().map(class).collect()
}

/// Several channels without names, whatever holds them: by the default engine as by the others, from the run as
/// from the file alone, and where rows come one by one.
#[test]
fn channels_without_names_are_predicted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let ((pixels, labels), width) = (colourful(), SIDE * SIDE * 3);
    let images = || pixels.chunks_exact(width).enumerate();
    for (index, image) in images() {
        let name = format!("png/{}/{index:03}.png", COLOURS[index % 3]);
        write_png(&folder.join(name), image);
    }
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("writable");
    write("labels.npy", &npy("240,", &labels));
    write("images.npy", &npy("240, 4, 4, 3", &pixels));
    write("last.npy", &npy("240, 16, 3", &pixels));
    let first = images().flat_map(|(_, image)| {
        (0..3).flat_map(|channel| image.iter().skip(channel).step_by(3).copied())
    });
    write("first.npy", &npy("240, 3, 16", &first.collect::<Vec<_>>()));
    write("image.toml", format!("{QUICK}hidden = [\"conv 2x2x4\", 6]\n").as_bytes());
    write("series.toml", format!("{QUICK}hidden = [\"conv 3x4\", 6]\n").as_bytes());

    let apart = "--labels labels.npy";
    let mut predictions = Vec::new();
    for (run_name, data, options, input) in [
        ("a", "png", "", "[4, 4, 3]"),
        ("b", "images.npy", apart, "[4, 4, 3]"),
        ("c", "last.npy", "--labels labels.npy --channels-last", "[1, 16, 3]"),
        ("d", "first.npy", "--labels labels.npy --channels-first", "[1, 16, 3]"),
    ] {
        let config = if input.starts_with("[1") { "series" } else { "image" };
        run(folder, &format!("train {data} {options} --config {config}.toml --out {run_name}"));
        let module = fs::read_to_string(folder.join(run_name).join("model.rs")).expect("a module");
        assert!(!module.contains("CHANNELS"), "{module}");
        assert!(module.contains(&format!("INPUT: [usize; 3] = {input};")), "{module}");
        let shown = run(folder, &format!("evaluate {run_name} {data} {options}"));
        assert!(score(&shown, "accuracy") > 0.95, "{data}: {shown}");
        let alone = run(folder, &format!("evaluate {run_name}/model.fwk {data} {options}"));
        assert_eq!(alone, shown, "{data}");
        let map = run(folder, &format!("evaluate {run_name} {data} {options} --engine map"));
        assert!(score(&map, "accuracy") > 0.95, "{data}: {map}");
        run(folder, &format!("report {run_name} {data} {options} --out {run_name}.html"));
        predictions.push(run(folder, &format!("predict {run_name} {data} {options} --out -")));
    }
    // The same numbers, wherever their channels were.
    assert_eq!(predictions[2], predictions[3]);
    let header = predictions[0].lines().next().expect("a header");
    assert!(header.starts_with("p(blue),p(green),p(red),class,"), "{header}");
    let classes = predictions[1].lines().skip(1).map(|line| line.split(',').nth(3));
    let classes: Vec<&str> = classes.map(|class| class.expect("a class")).collect();
    assert_eq!(sensed(&folder.join("b/model.fwk"), &pixels, width), classes);
    refused(folder, "predict b last.npy --out e.csv", &["last.npy", "16 × 3 × 1", "4 × 4 × 3"]);
    let rows = "train labels.npy --labels labels.npy --channels-last --out e";
    refused(folder, rows, &["labels.npy", "[240]", "`channels` last"]);
}
