//! A prediction in words.

use fiberwalk_runtime::{Classification, Model, Prediction};

/// One line: `class yes, probability 0.945, entropy 0.231, set {yes}, sure`, or `height 110.230 ± 3.100`.
pub fn prediction(model: &Model<'_>, prediction: &Prediction<'_>) -> String {
    let (what, foreign, verdict) = match prediction {
        Prediction::Classification(class) => {
            let verdict = if class.is_sure() { ", sure" } else { ", unsure" };
            (classification(model, class), class.out_of_distribution, verdict)
        }
        Prediction::Regression(value) => {
            let what = format!("{} {:.3} ± {:.3}", model.target(), value.mean, value.std());
            (what, value.out_of_distribution, "")
        }
    };
    let foreign = if foreign { ", out of distribution" } else { "" };
    format!("{what}{foreign}{verdict}")
}

fn classification(model: &Model<'_>, class: &Classification<'_>) -> String {
    let (top, probability) = class.top();
    // A model of classes has a name for each.
    let name = |class| model.classes().and_then(|names| names.get(class)).unwrap_or_default();
    let set: Vec<&str> = class.set().map(name).collect();
    format!(
        "class {}, probability {probability:.3}, entropy {:.3}, set {{{}}}",
        name(top),
        class.entropy,
        set.join(", ")
    )
}
