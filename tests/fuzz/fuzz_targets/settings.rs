//! Any text as a configuration: refused, or written and read again as it is, and every number in its range.
#![no_main]

use std::path::Path;

use fiberwalk::config::Config;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &str| -> Corpus {
    let Ok(config) = Config::parse(Path::new("settings"), text) else { return Corpus::Keep };
    let again = Config::parse(Path::new("again"), &config.to_toml()).expect("it was accepted");
    assert_eq!(again, config);
    // Refused or not, for networks of few layers and of many.
    for depth in [1, 2, 8] {
        let _ = config.check_depth(depth, depth);
        let names: Vec<String> = (0..depth).map(|layer| layer.to_string()).collect();
        if let Ok(walked) = config.walk.layers.of(&names) {
            assert!(walked.len() == depth && walked.contains(&true));
        }
    }
    Corpus::Keep
});
