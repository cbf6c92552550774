//! Why the model is as it is: what was chosen by which rule, and what was given.

use maud::{Markup, html};

use super::evidence::Evidence;
use crate::choose::FullWalk;
use crate::config::{Choice, CodesChoice, Config, PerLayer};
use crate::decoder::structure_name;

/// One setting.
struct Decision {
    name: &'static str,
    value: String,
    /// The rule that chose it, or the field that gave it.
    why: String,
}

/// Every setting that makes the artifact, in the order of the stages.
pub fn decisions(evidence: &Evidence) -> Markup {
    html! {
        figure {
            h3 { "What was chosen, and why" }
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { "setting" }
                        th scope="col" { "value, and why" }
                    } }
                    tbody {
                        @for one in all(evidence) {
                            tr {
                                th scope="row" { (one.name) }
                                td.why { (one.value) small { (one.why) } }
                            }
                        }
                    }
                }
            }
            figcaption {
                "What is given is never searched for: another value is yours to try. The scores of \
                 what was tried are below."
            }
        }
    }
}

fn all(evidence: &Evidence) -> Vec<Decision> {
    let records = &evidence.records;
    let (asked, used) = (&records.requested, &records.config);
    let (default, choices) = (Config::default(), &records.choices);
    let decision = |name, value: String, why: String| Decision { name, value, why };
    let hidden = match used.network.hidden.fixed() {
        Some(hidden) if !hidden.is_empty() => list(hidden),
        _ => "none".to_owned(),
    };
    let prior = match used.map.prior_precision.fixed() {
        Some(PerLayer::Each(each)) => list(each),
        Some(PerLayer::Same(same)) => same.to_string(),
        None => String::new(),
    };
    // What is sampled is not chosen: a median stands for it.
    let refined = records.refined.as_ref();
    let best = format!(
        "the least cross-validated NLL: {:.4} ± {:.4}",
        choices.chosen.nll, choices.chosen.standard_error
    );
    let (prior, prior_rule) = match refined {
        Some(refined) if asked.map.prior_precision == Choice::Auto => (
            format!("about {}", list(&refined.precisions)),
            format!("sampled; the median of every group ({})", asked.refine.groups),
        ),
        _ => (prior, best),
    };
    let structure = &records.latent.shape.structure;
    let fewest = format!(
        "int4 where that costs at most export.loss = {} nats against int8, else int8",
        used.export.loss
    );
    let mut all = vec![
        decision(
            "hidden layers",
            hidden,
            why(&asked.network.hidden, "network.hidden", "by the number of rows"),
        ),
        decision(
            "prior precision",
            prior,
            why(&asked.map.prior_precision, "map.prior_precision", &prior_rule),
        ),
    ];
    if !evidence.schema.task.classifies() {
        let rule = match refined {
            Some(_) => "sampled from here: the held-out error of MAP",
            None => "the held-out error of the best small walk",
        };
        all.push(decision(
            "noise",
            used.map.noise_std.fixed().map(f32::to_string).unwrap_or_default(),
            why(&asked.map.noise_std, "map.noise_std", rule),
        ));
    }
    if let Some(refined) = refined {
        all.push(decision(
            "refinement",
            format!("{} sweeps of every particle, {} states", refined.sweeps, refined.states),
            format!("given, not chosen: refine.sweeps; {}", refined.convergence),
        ));
    }
    if records.imported {
        let why = match &records.data.misfit {
            None => "given: `network`; it is not trained here".to_owned(),
            Some(misfit) => {
                format!("given: `network`; WARNING: it does not fit the data: {misfit}")
            }
        };
        all.push(decision("MAP", "a network trained elsewhere".to_owned(), why));
    }
    all.extend([
        decision(
            "drift",
            choices.chosen.drift.to_string(),
            why(
                &asked.walk.drift,
                "walk.drift",
                &match refined {
                    Some(_) => "where particles are refined".to_owned(),
                    None => format!(
                        "isotropic, unless data-noise is better by more than one standard error{}",
                        full_walks(&choices.drift_candidates, |walk| walk.drift.to_string())
                    ),
                },
            ),
        ),
        decision(
            "posterior temperature",
            choices.chosen.temperature.to_string(),
            why(
                &asked.walk.temperature,
                "walk.temperature",
                match refined {
                    Some(_) => "the posterior, where particles are refined",
                    None => "the largest whose NLL is within one standard error of the least",
                },
            ),
        ),
        decision(
            "MAPs that the particles start from",
            choices.maps.to_string(),
            why(
                &asked.walk.starts,
                "walk.starts",
                &format!(
                    "the fewest, unless more are better by more than one standard error{}",
                    full_walks(&choices.maps_candidates, |walk| walk.maps.to_string())
                ),
            ),
        ),
        decision(
            "layers that are walked",
            used.walk.layers.to_string(),
            given("walk.layers", used.walk.layers == default.walk.layers),
        ),
        decision(
            "latent size",
            used.latent.dim.to_string(),
            given("latent.dim", asked.latent.dim == default.latent.dim),
        ),
        decision(
            "hidden layers that are decoded",
            used.latent.hidden.as_deref().map_or("the network's own".to_owned(), list),
            given("latent.hidden", asked.latent.hidden.is_none()),
        ),
        decision(
            "decoder",
            structure_name(structure),
            why(
                &asked.latent.decoder,
                "latent.decoder",
                &format!(
                    "the closest to the particles of {} within the budgets export.cost = {} passes and \
                     export.flash = {} times the network alone",
                    records.latent.candidates.len(),
                    used.export.cost,
                    used.export.times_flash(records.precision.network_bytes)
                ),
            ),
        ),
        decision(
            "weight bits",
            list(&records.precision.weight_bits),
            why(&asked.export.weight_bits, "export.weight_bits", &fewest),
        ),
        decision(
            "factor bits",
            records.precision.factor_bits.to_string(),
            why(&asked.export.factor_bits, "export.factor_bits", &fewest),
        ),
        decision(
            "trunk, for drawn codes",
            if records.precision.trunk { "exported" } else { "left out" }.to_owned(),
            why(
                &asked.export.trunk,
                "export.trunk",
                &format!(
                    "with it the file has {} bytes, where export.flash = {} allows {:.0}",
                    records.precision.bytes_with_trunk,
                    used.export.times_flash(records.precision.network_bytes),
                    used.export.times_flash(records.precision.network_bytes)
                        * records.precision.network_bytes as f64
                ),
            ),
        ),
        decision(
            "codes",
            codes(used.export.codes).to_owned(),
            match asked.export.codes {
                CodesChoice::Auto => "the best on public data sets; not measured here".to_owned(),
                _ => given("export.codes", false),
            },
        ),
        decision(
            "number of codes, number of samples",
            used.export.samples.to_string(),
            given("export.samples", asked.export.samples == default.export.samples),
        ),
    ]);
    all
}

/// The held-out NLL of full walks, each under the name of what differs; empty where none were compared.
fn full_walks(walks: &[FullWalk], name: impl Fn(&FullWalk) -> String) -> String {
    let each = walks.iter().enumerate().map(|(index, walk)| match index {
        0 => format!(": held-out NLL {:.4} with {}", walk.nll, name(walk)),
        _ => format!(
            ", {:.4} with {}, a difference of {:.4} ± {:.4}",
            walk.nll,
            name(walk),
            walk.nll - walks[0].nll,
            walk.standard_error
        ),
    });
    each.collect()
}

/// Why a setting that can be left open has its value; `rule` is what chooses it then.
fn why<T>(asked: &Choice<T>, field: &str, rule: &str) -> String {
    match asked {
        Choice::Auto => rule.to_owned(),
        Choice::Fixed(_) => given(field, false),
    }
}

fn given(field: &str, default: bool) -> String {
    format!("given, not chosen: {field}{}", if default { ", the default" } else { "" })
}

const fn codes(choice: CodesChoice) -> &'static str {
    match choice {
        CodesChoice::Auto | CodesChoice::Stored => "stored",
        CodesChoice::LowDiscrepancy => "low-discrepancy",
        CodesChoice::Normal => "normal",
    }
}

fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
