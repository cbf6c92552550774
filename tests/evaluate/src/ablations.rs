//! fiberwalk under other settings, each beside the defaults on the same splits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use fiberwalk::internals::compare::{Mean, Method};
use fiberwalk::internals::random::{Purpose, stream};
use fiberwalk::internals::run::{Run, RunRecords};
use fiberwalk::internals::run_dir::write_atomically;
use fiberwalk::internals::task::Scores;
use fiberwalk::settings::LayerDecoder::{self, Dense, Frozen, LowRank};
use fiberwalk::settings::{Choice, CodesChoice, Drift, WalkedLayers};
use fiberwalk::{Config, Data, Device, TrainOptions, train};

use crate::Places;
use crate::markdown::table;
use crate::record::{provenance, recorded, write_json};
use crate::sets::{SETS, Set, config};

/// Settings that are varied, one at a time, and the page about them.
pub struct Study {
    /// Of the command and of the page's files.
    name: &'static str,
    title: &'static str,
    sets: Vec<&'static str>,
    groups: Vec<Group>,
}

impl Study {
    /// Most settings, on sets that are small enough to fit many decoders to.
    pub fn ablations() -> Self {
        let sets = vec!["wine", "wdbc", "banana", "wine_red"];
        Self { name: "ablations", title: "Ablations", sets, groups: groups() }
    }

    /// The number of MAPs, on all sets.
    pub fn maps() -> Self {
        let sets = SETS.iter().map(|set| set.name).collect();
        Self { name: "maps", title: "Walks from several MAPs", sets, groups: vec![of_maps()] }
    }
}

/// Splits of each. One takes some six minutes on two cores.
const SPLITS: u64 = 1;

/// A setting, and what it is changed to.
struct Group {
    title: &'static str,
    /// What a reader should know of how it was measured.
    note: &'static str,
    variants: Vec<Variant>,
}

struct Variant {
    name: String,
    /// From the settings of the run with the defaults, whose decoder is kept.
    change: Box<dyn Fn(&mut Config)>,
}

/// What came of one variant on one split.
#[derive(Serialize, Deserialize)]
struct Measured {
    particles: Scores,
    decoder: Scores,
    artifact: Scores,
    /// Of the file.
    bytes: usize,
    /// Of the stages that were done again.
    seconds: f64,
}

fn variant(name: impl ToString, change: impl Fn(&mut Config) + 'static) -> Variant {
    Variant { name: name.to_string(), change: Box::new(change) }
}

/// The number of MAPs at equal cost.
fn of_maps() -> Group {
    let variants = [1, 2, 4, 8].map(|maps| {
        variant(maps, move |config| {
            let steps = config.walk.steps;
            config.walk.starts = Choice::Fixed(maps);
            config.walk.particles -= ((maps - 1) * config.map.steps).div_ceil(steps);
        })
    });
    Group {
        title: MAPS,
        note: "As many particles are shared out over them as there are steps left of those of one MAP \
               and 64 particles. The default takes 64 from 1, or from 4 where that is clearly better on held-out \
               rows; the rest stays as it was chosen for it.",
        variants: variants.into(),
    }
}

fn groups() -> Vec<Group> {
    let layers = |name: &str, layers: [LayerDecoder; 2]| {
        variant(name, move |config| config.latent.decoder = Choice::Fixed(layers.to_vec()))
    };
    let numbers = |values: &[usize], set: fn(&mut Config, usize)| {
        let with = |&value: &usize| variant(value, move |config| set(config, value));
        values.iter().map(with).collect::<Vec<_>>()
    };
    let codes = [
        ("stored", CodesChoice::Stored),
        ("low-discrepancy", CodesChoice::LowDiscrepancy),
        ("normal", CodesChoice::Normal),
    ];
    let codes = codes.into_iter().flat_map(|(name, codes)| {
        [4, 8, 16, 32].map(|samples| {
            variant(format!("{name}, {samples}"), move |config| {
                config.export.codes = codes;
                config.export.samples = samples;
                config.export.trunk = Choice::Fixed(true);
            })
        })
    });
    vec![
        Group {
            title: "Drift",
            note: "Prior precision, noise and temperature stay those of the default, which chooses the drift.",
            variants: [Drift::Isotropic, Drift::DataNoise]
                .map(|drift| variant(drift, move |config| config.walk.drift = Choice::Fixed(drift)))
                .into(),
        },
        Group {
            title: "Posterior temperature",
            note: "The default chooses it.",
            variants: [1.0, 0.1, 0.01]
                .map(|t| variant(t, move |config| config.walk.temperature = Choice::Fixed(t)))
                .into(),
        },
        Group {
            title: "Particles",
            note: "The default is 64.",
            variants: numbers(&[16, 32, 128], |config, n| config.walk.particles = n),
        },
        Group {
            title: "Steps of the walk",
            note: "The default is 1000.",
            variants: numbers(&[100, 300, 3000], |config, steps| config.walk.steps = steps),
        },
        Group {
            title: "Rows of a gradient step",
            note: "The default is 2048; more rows are cut into mini-batches.",
            variants: numbers(&[256, 10_000], |config, rows| config.walk.batch_rows = rows),
        },
        Group {
            title: "Layers that are walked",
            note: "The default is all.",
            variants: vec![variant("last", |config| config.walk.layers = WalkedLayers::Last(1))],
        },
        Group {
            title: "Objective of the decoder",
            note: "The default weighs the predictive by 10 and the encoder's reconstruction by 0.01.",
            variants: vec![
                variant("predictive 0", |config| config.latent.predictive = 0.0),
                variant("predictive 1", |config| config.latent.predictive = 1.0),
                variant("predictive 40", |config| config.latent.predictive = 40.0),
                variant("reconstruction 0", |config| config.latent.reconstruction = 0.0),
                variant("reconstruction 0.1", |config| config.latent.reconstruction = 0.1),
            ],
        },
        Group {
            title: "Steps of the fit",
            note: "The default is 12,000.",
            variants: numbers(&[1500, 6000], |config, steps| config.latent.steps = steps),
        },
        Group {
            title: "Latent size",
            note: "The default is 4.",
            variants: numbers(&[1, 2, 8], |config, dim| config.latent.dim = dim),
        },
        Group {
            title: "Rank of the last layer",
            note: "The first layer is frozen. The default takes what the budgets of cost and flash allow.",
            variants: numbers(&[1, 4, 16], |config, rank| {
                config.latent.decoder = Choice::Fixed(vec![Frozen, LowRank(rank)]);
            }),
        },
        Group {
            title: "Stochastic layers",
            note: "Whatever they cost.",
            variants: vec![
                layers("last, low-rank:8", [Frozen, LowRank(8)]),
                layers("first, low-rank:8", [LowRank(8), Frozen]),
                layers("both, low-rank:8", [LowRank(8); 2]),
                layers("both, low-rank:16", [LowRank(16); 2]),
                layers("last, dense:8", [Frozen, Dense(8)]),
            ],
        },
        Group {
            title: "Codes and their number",
            note: "Exported with the trunk. The default stores 16 codes.",
            variants: codes.collect(),
        },
        Group {
            title: "Bits",
            note: "The default chooses the fewest that cost at most 0.001 nats and 0.01 of OOD AUROC.",
            variants: [8, 4]
                .map(|bits| {
                    variant(format!("int{bits}"), move |config| {
                        config.export.weight_bits = Choice::Fixed(vec![bits; 2]);
                        config.export.factor_bits = Choice::Fixed(bits);
                    })
                })
                .into(),
        },
    ]
}

/// Groups that are about the walk: what was chosen for it stays, so that one thing differs.
const WALK_GROUPS: [&str; 6] = [
    "Drift",
    "Posterior temperature",
    "Steps of the walk",
    "Rows of a gradient step",
    "Layers that are walked",
    MAPS,
];

const MAPS: &str = "MAPs at equal cost";

/// Everything that was measured, by set, split and variant.
type All = BTreeMap<String, BTreeMap<u64, BTreeMap<String, Measured>>>;

/// Name of the run with the defaults.
const DEFAULT: &str = "default";

/// Measures what was not measured before, and writes the page.
pub fn run(study: &Study, places: &Places) -> anyhow::Result<()> {
    let (mut all, mut commits) = (All::new(), BTreeSet::new());
    // Split by split, so that a run that was stopped has something of every set.
    for seed in 0..SPLITS {
        for set in places.sets().filter(|set| study.sets.contains(&set.name)) {
            eprintln!("{}, split {seed}", set.name);
            let of_split = all.entry(set.name.to_owned()).or_default().entry(seed).or_default();
            let base = Base::train(places, set, seed)?;
            let mut measure = |name: String, group: &str, change: &dyn Fn(&mut Config)| {
                let record = base.measure(&name, group, change)?;
                commits.insert(record.commit);
                of_split.insert(name, record.result);
                anyhow::Ok(())
            };
            measure(DEFAULT.to_owned(), DEFAULT, &|_| {})?;
            for group in &study.groups {
                for variant in &group.variants {
                    let name = format!("{}: {}", group.title, variant.name);
                    measure(name, group.title, &variant.change)?;
                }
            }
        }
        write(study, places, &all, &commits)?;
    }
    Ok(())
}

/// A split with the run that has the defaults.
struct Base<'a> {
    places: &'a Places,
    set: &'a Set,
    seed: u64,
    records: RunRecords,
    /// Folder of the split's rows and runs.
    split: PathBuf,
}

impl<'a> Base<'a> {
    /// The run of the benchmark, trained if it is not there.
    fn train(places: &'a Places, set: &'a Set, seed: u64) -> anyhow::Result<Self> {
        set.compare(places, seed, vec![Method::Artifact])?;
        let split = set.folder(&places.work).join(format!("split-{seed}"));
        let run = Run::open(&split.join("run"))?;
        Ok(Self { places, set, seed, records: RunRecords::read(run.dir())?, split })
    }

    /// Trains a variant, from the first stage that it changes, and scores it.
    fn measure(
        &self,
        name: &str,
        group: &str,
        change: &dyn Fn(&mut Config),
    ) -> anyhow::Result<crate::record::Record<Measured>> {
        let slug: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        recorded(&self.split.join(format!("ablation-{slug}.json")), || {
            eprintln!("  {name}");
            // The default's is kept, for the others to begin with what they leave as it is.
            let (default, other) =
                (self.split.join("default-run"), self.split.join("ablation-run"));
            let (from, run) = match name {
                DEFAULT => (self.split.join("run"), default),
                _ => (default, other),
            };
            // Of a variant that was cut off, or of the last one.
            if run.exists() {
                std::fs::remove_dir_all(&run)?;
            }
            let started = Instant::now();
            let target = self.set.target(&self.places.data)?;
            let data = Data::file(self.split.join("train.csv")).target(&target).task(self.set.task);
            let config = self.config(group, change);
            let options = TrainOptions {
                config,
                seed: self.seed,
                from: Some(from),
                ..TrainOptions::default()
            };
            train(&data, &run, &options)?;
            let seconds = started.elapsed().as_secs_f64();
            let run = Run::open(&run)?;
            let file = self.split.join("test.csv").into();
            let [_, _, particles, decoder, artifact] = run.stages()?.map(|(_, predictor)| {
                let schema = &predictor.schema;
                let (test, truth) = schema.read_labelled(&file, &target)?;
                let mut rng = stream(self.seed, Purpose::Foreign, 0);
                let foreign = predictor.predict(&schema.foreign(truth.len(), &mut rng))?;
                anyhow::Ok(Scores::of(&predictor.predict_all(&test)?, &truth, Some(&foreign)))
            });
            Ok(Measured {
                particles: particles?,
                decoder: decoder?,
                artifact: artifact?,
                bytes: run.artifact()?.len(),
                seconds,
            })
        })
    }

    /// The default's settings with its decoder, changed.
    fn config(&self, group: &str, change: &dyn Fn(&mut Config)) -> Config {
        let mut config = config();
        config.latent.decoder = self.records.config.latent.decoder.clone();
        if WALK_GROUPS.contains(&group) {
            config.map = self.records.config.map.clone();
            config.walk = self.records.config.walk.clone();
        }
        change(&mut config);
        config
    }
}

fn write(
    study: &Study,
    places: &Places,
    all: &All,
    commits: &BTreeSet<String>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(&places.out)?;
    let file = |ending| places.out.join(format!("{}.{ending}", study.name));
    write_json(&file("json"), all)?;
    write_atomically(&file("md"), page(study, all, commits).as_bytes())
}

fn page(study: &Study, all: &All, commits: &BTreeSet<String>) -> String {
    let Study { name, title, .. } = study;
    let mut page = format!("# {title}\n\n");
    page += &provenance(
        &format!("cargo run --release -p fiberwalk-evaluate -- {name} DATA WORK"),
        commits,
        &Device::Cpu.describe(),
    );
    page += &format!("
One setting at a time differs from the default, which is one hidden layer of 50 tanh units and everything else as
`fiberwalk train` chooses it; the decoder's structure stays the default's where it is not what differs. Test NLL of
the exported artifact less that of the default on the same split (below 0: better), of {SPLITS} split(s) of 70 to 30 a
set; then the mean over all, with its standard error, and the mean of the same of the float decoder and of the
particles, the artifact's OOD AUROC, and the bytes of its file. Few splits tell large differences from none, and no
more. The settings' defaults were chosen before, on calibration rows. [{name}.json]({name}.json) has every split.

"
    );
    let sets: Vec<&Set> = SETS.iter().filter(|set| all.contains_key(set.name)).collect();
    let mut header = vec![String::new()];
    header.extend(sets.iter().map(|set| set.name.to_owned()));
    header.extend(["artifact", "decoder", "particles", "OOD AUROC", "bytes"].map(str::to_owned));
    for Group { title, note, variants } in &study.groups {
        page += &format!("## {title}\n\n{note}\n\n");
        let default = [(DEFAULT.to_owned(), DEFAULT.to_owned())];
        let variants = variants.iter().map(|v| (v.name.clone(), format!("{title}: {}", v.name)));
        let rows: Vec<Vec<String>> = default
            .into_iter()
            .chain(variants)
            .map(|(shown, name)| {
                let rows: Vec<Row> =
                    sets.iter().filter_map(|set| Row::of(all, set, &name)).collect();
                let mean = |value: fn(&Row) -> f64| {
                    let values: Vec<f64> = rows.iter().map(value).collect();
                    if values.is_empty() { f64::NAN } else { Mean::of(&values).mean }
                };
                let mut cells = vec![shown];
                cells.extend(rows.iter().map(|row| Mean::of(&row.differences).signed()));
                let pooled: Vec<f64> =
                    rows.iter().flat_map(|row| row.differences.iter().copied()).collect();
                cells.push(if pooled.is_empty() {
                    "–".to_owned()
                } else {
                    Mean::of(&pooled).signed()
                });
                cells.push(format!("{:+.4}", mean(|row| row.decoder)));
                cells.push(format!("{:+.4}", mean(|row| row.particles)));
                cells.push(format!("{:.3}", mean(|row| row.ood_auroc)));
                cells.push(format!("{:.0}", mean(|row| row.bytes)));
                cells
            })
            .collect();
        page += &table(&header, &rows);
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// A variant on a set: differences from the default, and means.
struct Row {
    /// Of the artifact's NLL, on every split.
    differences: Vec<f64>,
    decoder: f64,
    particles: f64,
    ood_auroc: f64,
    bytes: f64,
}

impl Row {
    fn of(all: &All, set: &Set, name: &str) -> Option<Self> {
        let both: Vec<(&Measured, &Measured)> = all[set.name]
            .values()
            .filter_map(|split| Some((split.get(name)?, split.get(DEFAULT)?)))
            .collect();
        let values = |value: &dyn Fn(&Measured, &Measured) -> f64| -> Vec<f64> {
            both.iter().map(|(own, default)| value(own, default)).collect()
        };
        let mean = |value: &dyn Fn(&Measured, &Measured) -> f64| Mean::of(&values(value)).mean;
        (!both.is_empty()).then(|| Self {
            differences: values(&|a, b| a.artifact.nll() - b.artifact.nll()),
            decoder: mean(&|a, b| a.decoder.nll() - b.decoder.nll()),
            particles: mean(&|a, b| a.particles.nll() - b.particles.nll()),
            ood_auroc: mean(&|a, _| a.artifact.ood_auroc().unwrap_or(f64::NAN)),
            bytes: mean(&|a, _| a.bytes as f64),
        })
    }
}
