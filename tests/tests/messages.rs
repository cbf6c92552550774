//! Bad input: a line that says what is wrong, where, and what to do; exit code 1; and nothing left
//! behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use fiberwalk_tests::{Finished, REGRESSION_CONFIG, contents, difference, fiberwalk, waves};
use tempfile::TempDir;

/// Runs a command that must fail, and checks the message and that the folder is as it was.
fn refused(folder: &Path, arguments: &str, parts: &[&str]) {
    let before = contents(folder);
    let finished = Finished::run(folder, arguments.split_whitespace());
    let message = finished.stderr;
    assert_eq!(finished.code, Some(1), "{arguments}: {message}");
    let last = message.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{arguments}: {message}");
    for part in parts {
        assert!(last.contains(part), "{arguments}: no `{part}` in: {message}");
    }
    let left = difference(&before, &contents(folder));
    assert!(left.is_empty(), "{arguments}: left behind or changed: {left:?}");
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("writable");
    }
    folder
}

/// A class by two features: `a`, `b`, `class`, with the last rows as given.
fn table(last_rows: &str) -> String {
    let mut csv = String::from("a,b,class\n");
    for row in 0..60 {
        let class = ["red", "blue"][row % 2];
        csv.push_str(&format!("{},{},{class}\n", row * 7 % 13, row * 5 % 11));
    }
    csv + last_rows
}

#[test]
fn data_that_cannot_be_trained_on() {
    let train = "train data.csv --target class --out run";
    let rows = |rows: &str| table(rows).into_bytes();
    let one_class = table("").replace("blue", "red").into_bytes();
    let constant: String = table("").lines().map(|line| format!("{line}\n")).collect();
    let constant = constant
        .lines()
        .map(|line| match line.rsplit_once(',') {
            Some((_, "class")) => "a,b,class\n".to_owned(),
            Some((_, class)) => format!("1,2,{class}\n"),
            None => String::new(),
        })
        .collect::<String>();
    let cases: [(&str, Vec<u8>, &[&str]); 12] = [
        ("an empty file", Vec::new(), &["data.csv", "empty", "header"]),
        ("nothing but white space", b"\n \n".to_vec(), &["data.csv", "empty"]),
        ("a header alone", b"a,b,class\n".to_vec(), &["data.csv", "no data rows"]),
        ("no header", b"1,2,3\n4,5,6\n".to_vec(), &["data.csv", "first row", "header row"]),
        ("two columns of one name", b"a,a,class\n1,2,x\n".to_vec(), &["column 2", "`a`", "rename"]),
        ("a short row", rows("1,2\n"), &["data.csv", "62", "2 fields"]),
        ("a missing value", rows("1,,red\n"), &["row 61", "column `b`", "missing"]),
        ("a question mark", rows("?,1,red\n"), &["row 61", "column `a`", "`?`", "missing"]),
        ("infinity", rows("1,inf,red\n"), &["row 61", "column `b`", "`inf`", "finite"]),
        ("one class only", one_class, &["data.csv", "class", "red"]),
        ("no text", b"a,b,class\n1,\xff\xfe,x\n".to_vec(), &["data.csv", "UTF-8"]),
        ("constant features only", constant.into_bytes(), &["data.csv", "constant"]),
    ];
    for (what, data, parts) in cases {
        println!("{what}");
        let folder = folder(&[("data.csv", &data)]);
        refused(folder.path(), train, parts);
    }
}

#[test]
fn arguments_and_settings_that_make_no_sense() {
    let folder = folder(&[
        ("data.csv", table("").as_bytes()),
        ("unknown.toml", b"[walk]\nparticels = 3\n"),
        ("mistyped.toml", b"[walk]\nsteps = \"many\"\n"),
        ("range.toml", b"[calibration]\ncoverage = 1.5\n"),
        ("depth.toml", b"[network]\nhidden = [8]\n[latent]\ndecoder = [\"low-rank:2\"]\n"),
        ("frozen.toml", b"[network]\nhidden = [8]\n[latent]\ndecoder = [\"frozen\", \"frozen\"]\n"),
        (
            "uneven.toml",
            b"[network]\nhidden = [8]\n[latent]\ndecoder = [\"members:2\", \"members:3\"]\n",
        ),
        (
            "drawn.toml",
            b"[network]\nhidden = [8]\n[latent]\ndecoder = [\"frozen\", \"members:2\"]\n\
              [export]\ncodes = \"normal\"\n",
        ),
        (
            "many.toml",
            b"[network]\nhidden = [8]\n[walk]\nparticles = 4\n[latent]\n\
              decoder = [\"members:8\", \"members:8\"]\n",
        ),
        ("broken.toml", b"[walk\n"),
        ("bytes.toml", b"[export]\ninput = \"u8\"\n"),
        ("bits.toml", b"[export]\nweight_bits = [8, 5, 8]\n"),
        ("half.csv", table("0.5,1,red\n").as_bytes()),
    ]);
    let cases: [(&str, &[&str]); 15] = [
        ("train none.csv --target class --out run", &["none.csv"]),
        ("train data.csv --target colour --out run", &["`colour`", "a", "b", "class"]),
        ("train data.csv --target class --out run --config none.toml", &["none.toml"]),
        (
            "train data.csv --target class --out run --config unknown.toml",
            &["unknown.toml", "line 2", "particels"],
        ),
        (
            "train data.csv --target class --out run --config mistyped.toml",
            &["mistyped.toml", "line 2"],
        ),
        (
            "train data.csv --target class --out run --config range.toml",
            &["calibration.coverage", "1.5", "0.5 to 0.99"],
        ),
        (
            "train data.csv --target class --out run --config depth.toml",
            &["latent.decoder", "1 entries for 2 layers"],
        ),
        (
            "train data.csv --target class --out run --config frozen.toml",
            &["latent.decoder", "frozen"],
        ),
        (
            "train data.csv --target class --out run --config uneven.toml",
            &["latent.decoder", "members:2, members:3", "as many members"],
        ),
        (
            "train data.csv --target class --out run --config drawn.toml",
            &["latent.decoder", "frozen, members:2", "stored codes"],
        ),
        (
            "train data.csv --target class --out run --config many.toml",
            &["latent.decoder", "members:8, members:8", "no more members than particles"],
        ),
        (
            "train data.csv --target class --out run --config broken.toml",
            &["broken.toml", "line 1"],
        ),
        (
            "train half.csv --target class --out run --config bytes.toml",
            &["half.csv", "row 61", "line 62", "`a`", "`0.5`", "0 to 255", "export.input"],
        ),
        (
            "train data.csv --target class --out run --config bits.toml",
            &["export.weight_bits", "found 5", "4 or 8"],
        ),
        ("train data.csv --target class --task regression --out run", &["class", "red", "number"]),
    ];
    for (arguments, parts) in cases {
        refused(folder.path(), arguments, parts);
    }
}

/// Settings that train within a second.
const QUICK: &str = "\
[network]
hidden = [4]
[map]
prior_precision = 1.0
steps = 20
[walk]
maps = 1
particles = 4
steps = 20
drift = \"isotropic\"
temperature = 0.3
[latent]
dim = 2
decoder = [\"frozen\", \"low-rank:2\"]
steps = 20
";

/// Every option of `train`, given wrongly: it is named, nothing is left, and the right call works afterwards.
#[test]
fn a_wrong_option_of_train_leaves_nothing() {
    let folder = folder(&[
        ("data.csv", table("").as_bytes()),
        ("renamed.csv", table("").replace("a,b,class", "a,c,class").as_bytes()),
        ("quick.toml", QUICK.as_bytes()),
        ("dear.toml", QUICK.replace("[\"frozen\", \"low-rank:2\"]", "\"auto\"").as_bytes()),
        ("noise.toml", QUICK.replace("[map]", "[map]\nnoise_std = 1e9").as_bytes()),
    ]);
    let path = folder.path();
    let dear = fs::read_to_string(path.join("dear.toml")).expect("written above");
    let dear = format!("{dear}[export]\nsamples = 1024\ncost = 1.0\n");
    fs::write(path.join("dear.toml"), dear).expect("writable");
    let train = "train data.csv --target class --config quick.toml --quiet";
    let succeed = |arguments: &str| Finished::success(path, arguments.split_whitespace()).stderr;
    succeed(&format!("{train} --out before --until choose"));
    succeed(&format!("{train} --out seven --seed 7 --until choose"));
    succeed(&format!("{} --out other --until choose", train.replace("data.csv", "renamed.csv")));
    let cases: [(&str, &[&str]); 24] = [
        ("--labels none.npy", &["`labels`", "data.csv"]),
        ("--arrays x,y", &["`arrays`", "data.csv"]),
        ("--channels-first", &["`channels` first", "data.csv"]),
        ("--window 0", &["`window`", "found 0"]),
        ("--window 1000", &["`window` 1000", "longest"]),
        ("--stride 3", &["`stride`", "`window`"]),
        ("--stride 0 --window 4", &["`stride`", "found 0"]),
        ("--group nothere", &["`nothere`", "data.csv"]),
        ("--group class", &["`group`", "`class`"]),
        ("--take 0", &["`take`", "found 0"]),
        ("--take 61", &["`take`", "found 61", "60"]),
        ("--task regression", &["`class`", "`red`"]),
        ("--network none.st", &["none.st"]),
        ("--network data.csv", &["data.csv", "not what fiberwalk wrote"]),
        ("--walk-layers 7", &["walk.layers", "found 7"]),
        ("--walk-layers nosuch", &["walk.layers", "nosuch"]),
        ("--device gpu:99", &["99"]),
        ("--from nowhere", &["nowhere", "not the directory of a run"]),
        ("--from data.csv", &["data.csv", "not the directory of a run"]),
        ("--from other", &["other", "other data"]),
        ("--from seven", &["seven", "`seed` 7", "found 0"]),
        ("--resume --from seven", &["seven", "`seed` 7", "found 0"]),
        ("--seed 7 --from before", &["before", "`seed` 0", "found 7"]),
        ("--seed 7 --from other", &["other", "`seed` 0", "found 7"]),
    ];
    for (wrong, parts) in cases {
        refused(path, &format!("{train} --out run {wrong}"), parts);
    }
    let config = |config: &str| train.replace("quick.toml", config) + " --out run";
    refused(path, &config("dear.toml"), &["export.cost", "found 1", "1024 samples"]);
    let noise = config("noise.toml").replace("--target class", "--target a --task regression");
    refused(path, &noise, &["map.noise_std", "standard deviation"]);
    // What the arguments' parser refuses.
    for wrong in ["--task nonsense", "--walk-layers 0", "--device x", "--seed -1", "--until nosuch"]
    {
        let before = contents(path);
        let arguments = format!("{train} --out run {wrong}");
        let refused = Finished::run(path, arguments.split_whitespace());
        assert_eq!(refused.code, Some(2), "{wrong}: {}", refused.stderr);
        assert!(difference(&before, &contents(path)).is_empty(), "{wrong}");
    }
    let said = succeed(&format!("{} --out run --from before", train.replace(" --quiet", "")));
    assert!(said.contains("from before: choose\n"), "{said}");
    assert!(!said.contains("choose      "), "taken over and done again: {said}");
}

/// A run that was begun takes over what it has not done yet.
#[test]
fn a_run_that_goes_on_takes_over_the_rest() {
    let folder = folder(&[("data.csv", table("").as_bytes()), ("quick.toml", QUICK.as_bytes())]);
    let train = "train data.csv --target class --config quick.toml --out";
    let succeed = |arguments: &str| {
        Finished::success(folder.path(), format!("{train} {arguments}").split_whitespace()).stderr
    };
    succeed("whole");
    succeed("part --until map");
    let said = succeed("part --resume --from whole");
    assert!(said.contains("from whole: choose, map, walk, refine, latent\n"), "{said}");
    for stage in ["walk", "latent"] {
        assert!(!said.contains(&format!("\n{stage:24}")), "{stage} is done again: {said}");
    }
    let files = |run: &str| contents(&folder.path().join(run));
    let differing = difference(&files("whole"), &files("part"));
    assert!(differing.is_empty(), "{differing:?}");
}

/// What diverges is told by stage and setting, and leaves no record of it.
#[test]
fn settings_under_which_a_stage_diverges() {
    let fast = |section: &str| {
        QUICK.replace(&format!("[{section}]"), &format!("[{section}]\nlearning_rate = 10.0"))
    };
    let map = fast("map").replace("[map]", "activation = \"relu\"\n[map]");
    let walk = fast("walk").replace("= 0.3", "= 1e6");
    let walk = walk.replace("steps = 20\ndrift", "steps = 200\ndrift");
    let cases: [(&str, String, &[&str]); 3] = [
        ("choices.json", map, &["choose", "map.learning_rate, found 10.0"]),
        (
            "walk.json",
            walk,
            &["walk: particle 0 diverged by step", "of 200", "walk.learning_rate, found 10.0"],
        ),
        (
            "latent.json",
            fast("latent"),
            &["latent", "low-rank:2 diverged by step", "of 20", "latent.learning_rate, found 10.0"],
        ),
    ];
    let folder = folder(&[("waves.csv", waves(0..80).as_bytes())]);
    for (record, config, parts) in cases {
        fs::write(folder.path().join("fast.toml"), config).expect("writable");
        let train =
            format!("train waves.csv --target height --config fast.toml --out {record}-run");
        let failed = Finished::run(folder.path(), train.split_whitespace());
        assert_eq!(failed.code, Some(1), "no {record}: {}", failed.stderr);
        let last = failed.stderr.lines().last().unwrap_or_default();
        for part in parts {
            assert!(last.contains(part), "no `{part}` in {}", failed.stderr);
        }
        let run = contents(&folder.path().join(format!("{record}-run")));
        assert!(!run.contains_key(Path::new(record)), "{record} is there");
        let group = "particles/group-000.safetensors";
        assert_eq!(run.contains_key(Path::new(group)), record == "latent.json");
    }
}

#[test]
fn a_folder_that_cannot_be_written() {
    let folder = folder(&[("data.csv", table("").as_bytes()), ("file", b"in the way")]);
    let train = "train data.csv --target class --out";
    refused(folder.path(), &format!("{train} file"), &["file"]);
    refused(folder.path(), &format!("{train} file/run"), &["file/run"]);
    fs::create_dir(folder.path().join("full")).expect("writable");
    fs::write(folder.path().join("full/notes"), "mine").expect("writable");
    refused(
        folder.path(),
        &format!("{train} full"),
        &["full", "not empty", "`resume`", "another directory"],
    );
}

/// A trained run of [`waves`] with files to predict from beside it.
fn trained() -> TempDir {
    let folder = folder(&[
        ("waves.csv", waves(0..120).as_bytes()),
        ("more.csv", waves(0..121).as_bytes()),
        ("test.csv", waves(120..130).as_bytes()),
        ("small.toml", REGRESSION_CONFIG.as_bytes()),
    ]);
    let train = "train waves.csv --target height --config small.toml --out run --quiet";
    Finished::success(folder.path(), train.split_whitespace());
    folder
}

#[test]
fn a_run_of_something_else_is_not_resumed() {
    let folder = trained();
    let resume = |data: &str, more: &str| {
        format!("train {data} --config small.toml --out run --quiet --resume {more}")
    };
    let cases: [(String, &[&str]); 4] = [
        (resume("more.csv", "--target height"), &["run", "other data", "another directory"]),
        (resume("waves.csv", "--target height --seed 7"), &["run", "`seed` 0", "found 7"]),
        (resume("waves.csv", "--target x"), &["run", "another target", "another directory"]),
        (
            "train waves.csv --target height --out run --quiet --resume".to_owned(),
            &["run", "another configuration", "another directory"],
        ),
    ];
    for (arguments, parts) in cases {
        refused(folder.path(), &arguments, parts);
    }
    // A run that is complete has nothing to do, and says so by succeeding.
    let before = contents(folder.path());
    let again = resume("waves.csv", "--target height");
    Finished::success(folder.path(), again.split_whitespace());
    assert!(difference(&before, &contents(folder.path())).is_empty());
}

#[test]
fn files_that_cannot_be_predicted_from() {
    let folder = trained();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| fs::write(at(name), bytes).expect("writable");
    let model = fs::read(at("run/model.fwk")).expect("the run has a model");
    let changed = |at: usize, by: u8| {
        let mut bytes = model.clone();
        bytes[at] ^= by;
        bytes
    };
    write("other.fwk", b"this is no model, but it is long enough");
    write("empty.fwk", b"");
    write("truncated.fwk", &model[..model.len() / 2]);
    write("corrupt.fwk", &changed(model.len() / 2, 0x10));
    // The version is the fifth and sixth byte.
    write("later.fwk", &changed(4, 1));
    write("lacking.csv", b"x,kind\n0.1,low\n");
    write("extra.csv", b"x,slope,kind,colour\n0.1,0.2,low,red\n");
    write("word.csv", b"x,slope,kind\n0.1,0.2,low\n0.1,steep,low\n");
    write("nan.csv", b"x,slope,kind\n0.1,NaN,low\n");
    write("unseen.csv", b"x,slope,kind\n0.1,0.2,middle\n");

    let cases: [(&str, &[&str]); 13] = [
        ("predict other.fwk test.csv --out p.csv", &["other.fwk", "FBWK"]),
        ("predict empty.fwk test.csv --out p.csv", &["empty.fwk"]),
        ("predict truncated.fwk test.csv --out p.csv", &["truncated.fwk", "bytes"]),
        ("predict corrupt.fwk test.csv --out p.csv", &["corrupt.fwk", "CRC"]),
        ("predict later.fwk test.csv --out p.csv", &["later.fwk", "version 3"]),
        ("inspect corrupt.fwk", &["corrupt.fwk", "CRC"]),
        ("predict run lacking.csv --out p.csv", &["lacking.csv", "`slope`"]),
        ("predict run word.csv --out p.csv", &["word.csv", "row 2", "`slope`", "`steep`"]),
        ("predict run nan.csv --out p.csv", &["nan.csv", "row 1", "`slope`"]),
        ("predict run unseen.csv --out p.csv", &["unseen.csv", "row 1", "`kind`", "`middle`"]),
        ("predict run test.csv --out none/p.csv", &["none/p.csv"]),
        ("predict run/model.fwk test.csv --out p.csv --engine map", &["model.fwk", "runtime"]),
        ("predict run test.csv --out p.csv --samples 4000", &["16", "fewer samples"]),
    ];
    for (arguments, parts) in cases {
        refused(folder.path(), arguments, parts);
    }
    refused(folder.path(), "evaluate run test.csv --target none", &["`none`", "height"]);
    // A column too many does no harm to the others; it is ignored, or named.
    let extra = Finished::run(folder.path(), "predict run extra.csv --out p.csv".split(' '));
    if extra.code != Some(0) {
        assert!(extra.stderr.contains("`colour`"), "{}", extra.stderr);
    }
}

#[test]
fn a_class_that_training_has_not_seen() {
    let folder = folder(&[
        ("data.csv", table("").as_bytes()),
        ("test.csv", b"a,b,class\n1,2,red\n3,4,green\n"),
        ("small.toml", REGRESSION_CONFIG.replace("low-rank:4\", \"", "frozen\", \"").as_bytes()),
    ]);
    let train = "train data.csv --target class --config small.toml --out run --quiet";
    Finished::success(folder.path(), train.split_whitespace());
    let parts = ["test.csv", "row 2", "`class`", "`green`", "red", "blue"];
    refused(folder.path(), "evaluate run test.csv --target class", &parts);
}

#[test]
fn shards_that_cannot_be_walked_or_merged() {
    let folder = folder(&[
        ("waves.csv", waves(0..120).as_bytes()),
        ("small.toml", REGRESSION_CONFIG.as_bytes()),
    ]);
    let at = |name: &str| folder.path().join(name);
    let run = |arguments: &str| {
        Finished::success(folder.path(), arguments.split_whitespace());
    };
    let train = "train waves.csv --target height --config small.toml --quiet --out";
    run(&format!("{train} early --until choose"));
    run(&format!("{train} other --until map --seed 7"));
    run(&format!("{train} run --until map"));
    for shard in 1..=4 {
        run(&format!("walk run --shard {shard}/4 --out {shard}.shard --quiet"));
    }
    run("walk run --shard 1/2 --out half.shard --quiet");
    run("walk other --shard 1/4 --out other.shard --quiet");
    let whole = fs::read(at("1.shard")).expect("it is there");
    fs::write(at("cut.shard"), &whole[..whole.len() - 1]).expect("writable");
    fs::create_dir(at("empty")).expect("writable");

    let cases: [(&str, &[&str]); 19] = [
        ("walk run --shard 0/4", &["`shard`", "`0/4`", "I/N", "3/8"]),
        ("walk run --shard 5/4", &["`shard`", "`5/4`", "I from 1 to N"]),
        ("walk run --shard x", &["`shard`", "`x`", "I/N"]),
        ("walk none --shard 1/4", &["none", "not the directory of a run"]),
        ("walk empty --shard 1/4", &["empty", "not the directory of a run", "data.json"]),
        ("walk early --shard 1/4", &["early", "no rows.safetensors", "MAP", "`until` map"]),
        (
            "walk run --shard 1/4 --out 2.shard",
            &["2.shard", "shard 2/4", "expected shard 1/4", "another file"],
        ),
        ("walk run --shard 1/4 --out small.toml", &["`out`", "small.toml", "expected"]),
        ("merge early 1.shard", &["early", "no rows.safetensors", "`until` map"]),
        ("merge run none.shard", &["none.shard"]),
        ("merge run waves.csv", &["waves.csv", "expected a shard"]),
        (
            "merge run run/map.safetensors",
            &["map.safetensors", "expected a shard", "other tensors"],
        ),
        ("merge run cut.shard", &["cut.shard", "bytes, expected"]),
        ("merge run other.shard", &["other.shard", "found shard 1/4 of run", "expected", "in run"]),
        (
            "merge run 4.shard 1.shard 2.shard",
            &["particles 8 to 11 are missing", "missing: shard 3/4 has not been merged"],
        ),
        (
            "merge run 2.shard 4.shard",
            &["particles 0 to 3, 8 to 11 are missing", "shards 1/4, 3/4 have not"],
        ),
        ("merge run half.shard 4.shard", &["particles 8 to 11 are missing"]),
        (
            "merge run 1.shard 2.shard 3.shard 4.shard 2.shard",
            &["particles 4 to 7 are in both 2.shard and 2.shard", "leave one"],
        ),
        (
            "merge run half.shard 2.shard 3.shard 4.shard",
            &["particles 4 to 7 are in both half.shard and 2.shard"],
        ),
    ];
    for (arguments, parts) in cases {
        refused(folder.path(), arguments, parts);
    }
    run("merge run 4.shard half.shard 3.shard --quiet");
    run(&format!("{train} run --resume --until walk"));
    refused(
        folder.path(),
        "merge run half.shard 3.shard 4.shard",
        &["run", "walk.json", "already"],
    );
}

/// A full disk, as a limit on the size of files: the write that goes past it fails.
#[cfg(unix)]
#[test]
fn a_write_that_fails_midway() {
    let folder = folder(&[
        ("waves.csv", waves(0..120).as_bytes()),
        ("small.toml", REGRESSION_CONFIG.as_bytes()),
    ]);
    let train = "train waves.csv --target height --config small.toml --out run --quiet --resume";
    // At most 4 KiB, and no signal but an error past it.
    let limited = format!("trap '' XFSZ; ulimit -f 8; exec \"$0\" {train}");
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).arg(fiberwalk().get_program()).current_dir(folder.path());
    command.env("FIBERWALK_DEVICE", "cpu");
    let finished: Finished = command.output().expect("a shell starts").into();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.starts_with("error: cannot write run/"), "{}", finished.stderr);
    for name in contents(folder.path()).keys() {
        let name = name.to_string_lossy();
        assert!(!name.contains("/."), "left behind: {name}");
    }
    // With room on the disk the run goes on.
    Finished::success(folder.path(), train.split_whitespace());
}

/// What is logged, only where it is asked for: what is read and written, tried and chosen.
#[test]
fn a_log_on_demand() {
    let config = REGRESSION_CONFIG.replace("temperature = 1.0\n", "");
    let folder =
        folder(&[("waves.csv", waves(0..120).as_bytes()), ("small.toml", config.as_bytes())]);
    let train = "train waves.csv --target height --config small.toml --out";
    let run = |arguments: &str| Finished::success(folder.path(), arguments.split_whitespace());
    let plain = run(&format!("{train} plain"));
    let logged = run(&format!("--verbose {train} logged"));
    let events = |finished: &Finished, place: &str| {
        let lines = finished.stderr.lines();
        lines.filter(|line| line.contains(place)).count()
    };
    for (place, least) in [
        ("fiberwalk::run_dir::atomic: wrote path=logged/model.fwk bytes=", 1),
        ("fiberwalk::choose::search: scored", 4),
        ("fiberwalk::choose::search: prior of the least NLL", 1),
        ("fiberwalk::walk::stage: walked first=0 end=16", 1),
        ("fiberwalk::latent::stage: fitted decoder=", 1),
        ("fiberwalk::costs::precision: tried", 3),
    ] {
        assert!(events(&logged, place) >= least, "no {place} in {}", logged.stderr);
    }
    assert_eq!((events(&plain, "DEBUG"), events(&plain, "INFO")), (0, 0), "{}", plain.stderr);
    let files = |run: &str| contents(&folder.path().join(run));
    let differing = difference(&files("plain"), &files("logged"));
    assert!(differing.is_empty(), "a log changed {differing:?}");
    for both in ["--quiet --verbose devices", "--quiet devices --verbose"] {
        let refused = Finished::run(folder.path(), both.split_whitespace());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("--quiet and --verbose"), "{refused:?}");
    }
}
