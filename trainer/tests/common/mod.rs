//! A folder with small data and a quick configuration, and the command to run in it.
#![allow(dead_code, reason = "every test file uses a part")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Settings that train in a second or two.
pub const QUICK: &str = "\
[network]
hidden = [12]
[map]
steps = 150
[walk]
particles = 20
steps = 120
[latent]
steps = 120
[export]
samples = 8
";

pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().expect("temporary folder") };
        sandbox.write("quick.toml", QUICK);
        sandbox.write("classes.csv", &rings(240));
        sandbox.write("numbers.csv", &sine(240));
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("temporary folder is writable");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `fiberwalk ARGUMENTS`, in the folder.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fiberwalk"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn succeed(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fiberwalk {arguments}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command that must fail with one line; that line.
    pub fn fail(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "fiberwalk {arguments}: {errors}");
        let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{errors}");
        assert_eq!(errors.lines().last(), lines.first().copied(), "{errors}");
        lines[0].to_owned()
    }
}

/// All files below a folder with their bytes, sorted by path.
pub fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("readable folder") {
        let path = entry.expect("readable folder").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("readable file");
            found.push((path, bytes));
        }
    }
    found.sort();
    found
        .into_iter()
        .map(|(path, bytes)| (path.strip_prefix(root).unwrap_or(&path).to_owned(), bytes))
        .collect()
}

/// Two rings and a text column that says nothing.
fn rings(rows: usize) -> String {
    let mut text = String::from("x,y,colour,ring\n");
    for row in 0..rows {
        let angle = row as f64 * 2.399_963; // the golden angle spreads the points evenly
        let inner = row % 2 == 0;
        let radius = if inner { 1.0 } else { 2.0 } + 0.3 * (row as f64 * 0.7).sin();
        let colour = ["red", "green", "blue"][row % 3];
        let ring = if inner { "inner" } else { "outer" };
        writeln!(text, "{:.4},{:.4},{colour},{ring}", radius * angle.cos(), radius * angle.sin())
            .expect("a string takes all");
    }
    text
}

/// A noisy sine.
fn sine(rows: usize) -> String {
    let mut text = String::from("t,height\n");
    for row in 0..rows {
        let t = 6.0 * row as f64 / rows as f64;
        let noise = 0.1 * (row as f64 * 12.9898).sin();
        writeln!(text, "{t:.4},{:.4}", 100.0 + 10.0 * (t.sin() + noise))
            .expect("a string takes all");
    }
    text
}
