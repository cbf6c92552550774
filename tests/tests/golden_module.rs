//! The firmware's golden module against the host's runtime: it must be of this model and of this
//! version of the runtime.

#![allow(dead_code, reason = "the generated modules name more than is compared")]

use fiberwalk_runtime::{Model, Prediction, Stored};

mod model {
    include!("../../examples/firmware/models/digits.rs");
}

struct Case {
    name: &'static str,
    pixels: [u8; model::FEATURES.len()],
    probabilities: [u32; model::CLASSES.len()],
    entropy: u32,
    mutual_information: u32,
    expected_entropy: u32,
    set: u32,
    out_of_distribution: bool,
    sure: bool,
}

mod golden {
    include!("../../examples/firmware/models/golden.rs");
}

#[test]
fn the_host_gives_the_golden_results() {
    let model = Model::from_bytes(model::MODEL).expect("the committed model is sound");
    assert_eq!(model.scratch_len(), model::SCRATCH_LEN);
    assert_eq!(model.samples(), model::SAMPLES);
    assert!(model.features().iter().eq(model::FEATURES));
    assert!(model.classes().expect("a classifier").iter().eq(model::CLASSES));
    let mut scratch = [0; model::SCRATCH_LEN];
    assert!(golden::CASES.len() >= 6);
    for case in golden::CASES {
        let input = case.pixels.map(f32::from);
        let prediction = model.predict(&input, &mut Stored, model::SAMPLES, &mut scratch);
        let Ok(Prediction::Classification(class)) = prediction else {
            panic!("{}: {prediction:?}", case.name)
        };
        let probabilities: Vec<_> = class.probabilities.iter().map(|p| p.to_bits()).collect();
        assert_eq!(probabilities, case.probabilities, "{}", case.name);
        assert_eq!(class.entropy.to_bits(), case.entropy, "{}", case.name);
        assert_eq!(class.mutual_information.to_bits(), case.mutual_information, "{}", case.name);
        assert_eq!(class.expected_entropy.to_bits(), case.expected_entropy, "{}", case.name);
        let set = class.set().fold(0, |set, class| set | 1 << class);
        assert_eq!(set, case.set, "{}", case.name);
        assert_eq!(class.out_of_distribution, case.out_of_distribution, "{}", case.name);
        assert_eq!(class.is_sure(), case.sure, "{}", case.name);
    }
    let unsure = golden::CASES.iter().filter(|case| !case.sure).count();
    assert!(unsure > 0 && unsure < golden::CASES.len(), "both sure and unsure cases");
}
