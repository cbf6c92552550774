//! Measurements as files: what is there is not done again, and each names the commit that made it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use fiberwalk::internals::run_dir::write_atomically;

/// A measurement and what made it.
#[derive(Serialize, Deserialize)]
pub struct Record<T> {
    /// Of the project; followed by `+` where files differed from it.
    pub commit: String,
    pub result: T,
}

/// Reads the measurement in `path`, or makes it and writes it there.
pub fn recorded<T: Serialize + DeserializeOwned>(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<Record<T>> {
    if path.exists() {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return serde_json::from_str(&text).with_context(|| {
            format!("{} is not a measurement of this version: remove it", path.display())
        });
    }
    let record = Record { commit: commit()?, result: make()? };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    write_json(path, &record)?;
    Ok(record)
}

pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write_atomically(path, format!("{text}\n").as_bytes())
}

/// The project's commit when it was first asked for, with `+` where tracked files differ from it: later ones
/// are no part of the program that runs.
fn commit() -> anyhow::Result<String> {
    static COMMIT: OnceLock<String> = OnceLock::new();
    if let Some(commit) = COMMIT.get() {
        return Ok(commit.clone());
    }
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .context("cannot run git")?;
        ensure!(output.status.success(), "git {}: {}", arguments.join(" "), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    // Pages that this program writes are no part of what it measures.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/docs"])?;
    let commit = if changed.is_empty() { head } else { format!("{head}+") };
    Ok(COMMIT.get_or_init(|| commit).clone())
}

/// Sentences on how the figures were made.
pub fn provenance(command: &str, commits: &BTreeSet<String>, device: &str) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(String::new(), |(_, model)| format!(" of an {}", model.trim()));
    let commits: Vec<&str> = commits.iter().map(String::as_str).collect();
    format!(
        "Made by `{command}` at commit {} ({device}{model}). Do not edit: run it again, and it goes on where \
         it stopped.\n",
        commits.join(", ")
    )
}
