//! Every relative link of every Markdown page leads to a file, and to a heading where it names one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use fiberwalk_tests::root;

/// Folders that hold no pages of the project.
const LEFT_OUT: [&str; 3] = ["target", ".git", "corpus"];

#[test]
fn links_lead_somewhere() {
    let mut pages = Vec::new();
    collect(root(), &mut pages);
    assert!(pages.contains(&root().join("README.md")), "{pages:?}");
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(page)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn missing_files_and_headings_are_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.md");
    let text = "# `A` page, of *two* links\n\n[right](page.md#a-page-of-two-links) [out](https://example.com) \
                `[code](none.md)` [gone](none.md)\n\n```\n# no heading\n[code](none.md)\n```\n\n\
                [a\nheading](#no-heading) [again](#again-1)\n\n## Again\n\n## Again\n";
    fs::write(&page, text).expect("writable");
    let broken = broken_links(&page);
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].ends_with("page.md: none.md"), "{broken:?}");
    assert!(broken[1].ends_with("page.md: #no-heading"), "{broken:?}");
}

/// Adds the Markdown pages under a folder.
fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("it can be listed");
        let (kind, path) = (entry.file_type().expect("it has a kind"), entry.path());
        if kind.is_dir() && !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            collect(&path, pages);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// The links of a page that lead nowhere, after its name.
fn broken_links(page: &Path) -> Vec<String> {
    let prose = prose(&fs::read_to_string(page).expect("readable"));
    let folder = page.parent().expect("it is in a folder");
    let links = prose.split("](").skip(1).filter_map(|after| Some(after.split_once(')')?.0));
    links
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .filter(|link| {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.to_owned() } else { folder.join(path) };
            !target.exists()
                || !(heading.is_empty() || anchors(&target).contains(&heading.to_owned()))
        })
        .map(|link| format!("{}: {link}", page.display()))
        .collect()
}

/// The page without fenced blocks and without code in its lines, whose brackets are no links.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut lines = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.extend([line, "\n"]);
        }
    }
    lines.split('`').step_by(2).collect()
}

/// What a link can name in a page: its headings in lower case, without punctuation, words joined by hyphens, numbered
/// where they come again.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("readable");
    let mut fenced = false;
    let mut seen = HashMap::<String, usize>::new();
    let mut anchors = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let before = seen.entry(anchor.clone()).or_default();
        anchors.push(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
        *before += 1;
    }
    anchors
}
