//! Bad input gets one line that says what and where, and leaves nothing behind.

mod common;

use common::Sandbox;

#[test]
fn training_data_that_cannot_be_used() {
    let sandbox = Sandbox::new();
    let rows = |header: &str, row: &dyn Fn(usize) -> String| {
        let rows: Vec<String> = (0..60).map(row).collect();
        format!("{header}\n{}\n", rows.join("\n"))
    };
    for (text, expected) in [
        (String::new(), vec!["data.csv", "the file is empty"]),
        ("a,y\n".to_owned(), vec!["data.csv", "no data rows"]),
        ("1,2\n3,4\n".to_owned(), vec!["expected column names", "add a header row"]),
        (
            rows("a,y", &|i| if i == 3 { "1".into() } else { format!("{i},{}", i % 2) }),
            vec!["row 4 (line 5) has 1 fields, expected 2"],
        ),
        (
            rows("a,y", &|i| if i == 3 { ",1".into() } else { format!("{i},{}", i % 2) }),
            vec!["row 4 (line 5), column `a`", "missing value", "remove the row or fill"],
        ),
        (
            rows("a,y", &|i| {
                format!("{},{}", if i == 7 { "inf".into() } else { i.to_string() }, i % 2)
            }),
            vec!["row 8 (line 9), column `a`: found `inf`, expected a finite number"],
        ),
        (
            rows("a,y", &|i| {
                format!("{},{}", if i == 7 { "NaN".into() } else { i.to_string() }, i % 2)
            }),
            vec!["row 8 (line 9), column `a`", "`NaN`"],
        ),
        (
            rows("id,y", &|i| format!("name-{i},{}", i % 2)),
            vec![
                "row 1 (line 2), column `id`: found `name-0`",
                "60 different values",
                "drop the column",
            ],
        ),
        (rows("a,y", &|i| format!("5,{}", i % 2)), vec!["every feature column is constant"]),
        (rows("a,y", &|i| format!("{i},1")), vec!["`y` is `1` in every row"]),
        (rows("a,y", &|i| format!("{i},c{i}")), vec!["60 classes in 60 rows", "--task regression"]),
        ("a,y\n1,0.5\n2,1.5\n3,0.7\n".to_owned(), vec!["found 3 rows, expected at least 30"]),
        (
            rows("a,b", &|i| format!("{i},{}", i % 2)),
            vec!["there is no column `y`; the columns are `a`, `b`"],
        ),
        (rows("a,a,y", &|i| format!("{i},{i},{}", i % 2)), vec!["column 2 is named `a`"]),
    ] {
        sandbox.write("data.csv", &text);
        let message = sandbox.fail("train data.csv --target y --out run --quiet");
        for part in expected {
            assert!(message.contains(part), "expected {part:?} in: {message}");
        }
        assert!(!sandbox.path("run").exists(), "a directory was left behind: {message}");
    }
}

#[test]
fn settings_that_cannot_be_used() {
    let sandbox = Sandbox::new();
    for (text, expected) in [
        ("[walk]\nparticels = 3\n", "line 2: unknown field `particels`"),
        ("[walk]\nparticles = 0\n", "walk.particles: found 0, expected at least 2"),
        ("[latent]\ndecoder = [\"low-rang:3\"]\n", "low-rang:3"),
        ("[latent]\ndecoder = [\"frozen\"]\n[network]\nhidden = [5]\n", "1 entries for 2 layers"),
        (
            "[map]\nprior_precision = [1.0, 2.0, 3.0]\n[network]\nhidden = [5]\n",
            "3 numbers for 2 layers",
        ),
    ] {
        sandbox.write("bad.toml", text);
        let message =
            sandbox.fail("train classes.csv --target ring --config bad.toml --out run --quiet");
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
        assert!(!sandbox.path("run").exists());
    }
    let message = sandbox.fail("train classes.csv --target ring --device gpu");
    assert!(message.contains("--device cpu"), "{message}");
    let message = sandbox.fail("train nowhere.csv --target ring");
    assert!(message.contains("nowhere.csv"), "{message}");
    let message = sandbox.fail("train classes.csv --target ring --config nowhere.toml");
    assert!(message.contains("nowhere.toml"), "{message}");
}

#[test]
fn a_run_is_not_mixed_with_another() {
    let sandbox = Sandbox::new();
    sandbox.succeed("train classes.csv --target ring --config quick.toml --out run --quiet");
    let before = common::files(&sandbox.path("run"));
    for (arguments, expected) in [
        ("classes.csv --target ring --config quick.toml", "is not empty: use --resume"),
        ("numbers.csv --target height --config quick.toml --resume", "a run of other data"),
        (
            "classes.csv --target ring --config quick.toml --resume --seed 1",
            "--seed 0, found --seed 1",
        ),
        ("classes.csv --target ring --resume", "another configuration"),
        ("classes.csv --target colour --config quick.toml --resume", "another target or task"),
    ] {
        let message = sandbox.fail(&format!("train {arguments} --out run --quiet"));
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
    }
    assert_eq!(common::files(&sandbox.path("run")), before);
}

#[test]
fn rows_and_models_that_do_not_fit() {
    let sandbox = Sandbox::new();
    sandbox.succeed("train classes.csv --target ring --config quick.toml --out run --quiet");
    for (text, expected) in [
        ("x,colour\n1,red\n", "feature columns are missing: `y`"),
        ("x,y,colour,size\n1,2,red,3\n", "does not know: `size`; remove them"),
        ("x,y,colour\n1,2,pink\n", "row 1 (line 2), column `colour`: found `pink`"),
        ("x,y,colour\n1,two,red\n", "row 1 (line 2), column `y`: found `two`"),
    ] {
        sandbox.write("rows.csv", text);
        let message = sandbox.fail("predict run rows.csv --out p.csv");
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
        assert!(!sandbox.path("p.csv").exists());
    }
    sandbox.write("rows.csv", "x,y,colour,ring\n1,2,red,middle\n");
    let message = sandbox.fail("evaluate run rows.csv --target ring");
    assert!(message.contains("column `ring`: found `middle`, expected a class seen"), "{message}");
    let message = sandbox.fail("evaluate run classes.csv --target rank");
    assert!(message.contains("no column `rank`"), "{message}");

    let model = sandbox.read("run/model.fwk");
    let changed = |at: usize, to: u8| {
        let mut bytes = model.clone();
        bytes[at] = to;
        bytes
    };
    for (bytes, expected) in [
        (model[..model.len() / 2].to_vec(), "truncated"),
        (changed(100, model[100] ^ 1), "corrupt"),
        (changed(4, 9), "version 9 is unknown"),
        (b"PK\x03\x04 something else".to_vec(), "not a .fwk file"),
    ] {
        std::fs::write(sandbox.path("bad.fwk"), bytes).expect("temporary folder");
        for command in ["inspect bad.fwk", "predict bad.fwk classes.csv --out p.csv"] {
            let message = sandbox.fail(command);
            let named = message.contains("bad.fwk") && message.contains(expected);
            assert!(named, "expected {expected:?} in: {message}");
        }
    }
    let message = sandbox.fail("predict run/model.fwk classes.csv --out p.csv --engine particles");
    assert!(message.contains("give the directory of the run"), "{message}");
    let message = sandbox.fail("predict run classes.csv --out nowhere/p.csv");
    assert!(message.contains("cannot write nowhere/p.csv"), "{message}");
    let message = sandbox.fail("predict nothing classes.csv --out p.csv");
    assert!(message.contains("cannot read nothing"), "{message}");
    let message = sandbox.fail("predict . classes.csv --out p.csv");
    assert!(message.contains("not the directory of a run"), "{message}");
}

/// A full disk: every write fails, here because of a limit on the size of files.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let sandbox = Sandbox::new();
    sandbox.succeed("train classes.csv --target ring --config quick.toml --out run --quiet");
    let script = format!(
        "ulimit -f 1; trap '' XFSZ; exec {} predict run classes.csv --out p.csv",
        env!("CARGO_BIN_EXE_fiberwalk")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(sandbox.path("."))
        .output()
        .expect("bash starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("cannot write p.csv"), "{message}");
    let mut names = std::fs::read_dir(sandbox.path(".")).expect("folder");
    assert!(names.all(|entry| {
        let name = entry.expect("entry").file_name();
        name != "p.csv" && !name.to_string_lossy().starts_with(".fiberwalk-")
    }));
}
