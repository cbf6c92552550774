//! The layers of the trainer, as ARCHITECTURE.md has them: no circles; devices known in one folder, and flags of the
//! command in another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the trainer's two crates, the lower one first.
const SOURCES: [&str; 2] = ["trainer/numerics/src", "trainer/src"];
/// The module of GPUs and its feature stand here alone, and are passed on in manifests.
const DEVICES: &str = "trainer/numerics/src/device";

/// What every module of the trainer's library imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files under `folder`, but tests in files of their own.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|is| is == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The trainer's files by the top module that they belong to; what belongs to the command is left out.
fn modules() -> BTreeMap<String, Vec<PathBuf>> {
    let mut modules: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for source in SOURCES.map(|source| root().join(source)) {
        let mut files = Vec::new();
        sources(&source, &mut files);
        for file in files {
            let inside = file.strip_prefix(&source).expect("a file of the trainer");
            let top = inside.iter().next().expect("a name").to_string_lossy();
            let top = top.trim_end_matches(".rs");
            if !["lib", "main", "cli"].contains(&top) {
                modules.entry(top.to_owned()).or_default().push(file);
            }
        }
    }
    modules
}

/// `text` without comments and without its module of tests.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code: String = lines.flat_map(|line| [line, "\n"]).collect();
    while let Some(start) = code.find("\n#[cfg(test)]\nmod ") {
        // Formatted code closes a module in the first column.
        let ends = ["\n}", ";\n"].map(|end| code[start..].find(end));
        let end = ends.into_iter().flatten().min().expect("the end of a module of tests");
        let inside = code[start..start + end].contains('{');
        let end = if inside { code[start..].find("\n}").expect("its end") } else { end };
        code.replace_range(start..start + end + 2, "\n");
    }
    code
}

/// The top modules that `code` names by `crate::`, in groups too.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let letters = text.trim_start().chars();
        letters.take_while(|&c| c.is_ascii_alphanumeric() || c == '_').collect()
    };
    let mut names = BTreeSet::new();
    for (place, path) in code.match_indices("crate::") {
        if code[..place].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[place + path.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        names.insert(word(group));
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => _ = names.insert(word(&group[index + 1..])),
                _ => {}
            }
        }
    }
    names
}

fn imports() -> Imports {
    let modules = modules();
    let of = |(module, files): (&String, &Vec<PathBuf>)| {
        let texts = files.iter().map(|file| fs::read_to_string(file).expect("a source"));
        let named = texts.flat_map(|text| named(&code(&text)));
        let others = named.filter(|name| name != module && modules.contains_key(name)).collect();
        (module.clone(), others)
    };
    modules.iter().map(of).collect()
}

/// A chain of imports from a module back to itself, if there is one.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn visit(
        module: &str,
        imports: &Imports,
        chain: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if let Some(start) = chain.iter().position(|one| one == module) {
            chain.drain(..start);
            return true;
        }
        if done.contains(module) {
            return false;
        }
        chain.push(module.to_owned());
        if imports[module].iter().any(|other| visit(other, imports, chain, done)) {
            return true;
        }
        chain.pop();
        done.insert(module.to_owned());
        false
    }
    let (mut chain, mut done) = (Vec::new(), BTreeSet::new());
    imports.keys().any(|module| visit(module, imports, &mut chain, &mut done)).then_some(chain)
}

/// The layer of every module, the lowest 0: the lines of the block under "Layers" in ARCHITECTURE.md, each a
/// layer's name and its modules.
fn layers() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, section) = text.split_once("\n## Layers\n").expect("a section of layers");
    let block = section.split("```").nth(1).expect("a block of layers");
    let mut layers = BTreeMap::new();
    for (layer, line) in block.lines().skip(1).enumerate() {
        let (_, modules) = line.split_once(char::is_whitespace).expect("a name, then modules");
        for module in modules.split(',') {
            let before = layers.insert(module.trim().to_owned(), layer);
            assert!(before.is_none(), "{module} stands in two layers of ARCHITECTURE.md");
        }
    }
    layers
}

#[test]
fn no_modules_of_the_trainer_import_one_another_in_a_circle() {
    let imports = imports();
    assert!(imports["config"].contains("decoder"), "imports are found: {imports:?}");
    assert_eq!(circle(&imports), None, "a circle of modules: move to a lower one what both need");
}

#[test]
fn every_module_imports_from_its_own_layer_or_from_lower_ones() {
    let (imports, layers) = (imports(), layers());
    let known: BTreeSet<&String> = layers.keys().collect();
    let there: BTreeSet<&String> = imports.keys().collect();
    assert_eq!(known, there, "the modules in ARCHITECTURE.md, and those of both crates");
    let pairs = imports.iter().flat_map(|(module, named)| named.iter().map(move |n| (module, n)));
    let wrong: Vec<_> = pairs.filter(|(module, named)| layers[*named] > layers[*module]).collect();
    assert!(wrong.is_empty(), "modules that import from a higher layer: {wrong:?}");
}

#[test]
fn the_feature_of_gpus_is_known_in_one_folder() {
    let mut files = Vec::new();
    SOURCES.iter().for_each(|source| sources(&root().join(source), &mut files));
    files.retain(|file| !file.starts_with(root().join(DEVICES)));
    let knows =
        |file: &&PathBuf| fs::read_to_string(file).expect("a source").contains("feature = \"gpu\"");
    let elsewhere: Vec<&PathBuf> = files.iter().filter(knows).collect();
    assert!(elsewhere.is_empty(), "files that know of the feature gpu: {elsewhere:?}");
}

/// The command's own long options, by the fields that it reads them to.
fn options() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&root().join("trainer/src/cli"), &mut files);
    let mut options = BTreeSet::new();
    for file in files {
        let text = code(&fs::read_to_string(file).expect("a source"));
        for (place, start) in text.match_indices("#[arg(long") {
            // What the attribute says further is on its line, or on those up to one that closes it.
            let (_, field) = text[place + start.len()..].split_once(")]\n").expect("its end");
            let (name, _) = field.trim_start().split_once(':').expect("a field and its type");
            options.insert(name.trim_start_matches("pub ").replace('_', "-"));
        }
    }
    options
}

/// Those of `options` that stand in `code` with two dashes before them.
fn flags<'c>(code: &'c str, options: &BTreeSet<String>) -> Vec<&'c str> {
    let dashed = code.match_indices("--").map(|(place, dashes)| &code[place + dashes.len()..]);
    let words = dashed.map(|rest| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        &rest[..rest.find(|c| !inside(c)).unwrap_or(rest.len())]
    });
    words.filter(|&word| options.contains(word)).collect()
}

/// Whoever uses the library has fields, not flags: only the command says `--window`.
#[test]
fn no_message_of_the_library_names_a_flag_of_the_command() {
    let options = options();
    for known in ["arch", "channels-first", "device", "out", "quiet", "until", "window"] {
        assert!(options.contains(known), "no `{known}` among {options:?}");
    }
    let mut wrong = Vec::new();
    for file in modules().into_values().flatten() {
        let code = code(&fs::read_to_string(&file).expect("a source"));
        let named = flags(&code, &options).into_iter().map(str::to_owned);
        wrong.extend(named.map(|flag| (file.clone(), flag)));
    }
    assert!(wrong.is_empty(), "name the option, `window`, in place of its flag: {wrong:?}");
}

#[test]
fn flags_are_whole_words() {
    let options = ["out", "channels-first"].map(str::to_owned).into();
    let code = "f(\"use --out, or --channels-first\"); g(\"tf2onnx --output; channels-first, out\"); x--\n--";
    assert_eq!(flags(code, &options), ["out", "channels-first"]);
}

#[test]
fn imports_are_read_in_groups_and_not_in_tests_nor_comments() {
    let text = "//! Uses [`crate::a`].\nuse crate::{b::{X, Y}, c};\nfn f() { crate::d::g(); $crate::e }\n\n\
                #[cfg(test)]\nmod tests {\n    use crate::h;\n}\n";
    let expected = ["b", "c", "d"].map(str::to_owned);
    assert_eq!(named(&code(text)), expected.into());
    let chain = |pairs: &[(&str, &str)]| -> Imports {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            imports.entry((*to).to_owned()).or_default();
            imports.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        imports
    };
    assert_eq!(circle(&chain(&[("a", "b"), ("a", "c"), ("b", "c")])), None);
    let found = circle(&chain(&[("a", "b"), ("b", "c"), ("c", "b")]));
    assert_eq!(found, Some(vec!["b".to_owned(), "c".to_owned()]));
}
