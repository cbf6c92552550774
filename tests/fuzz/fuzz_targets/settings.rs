//! Any text as a configuration: refused, or written and read again as it is, and every number in its range.
#![no_main]

use fiberwalk::Config;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &str| -> Corpus {
    let Ok(config) = text.parse::<Config>() else { return Corpus::Keep };
    let again: Config = config.to_toml().parse().expect("it was accepted");
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
