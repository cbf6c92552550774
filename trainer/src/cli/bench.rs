//! `fiberwalk bench`.

use anyhow::bail;
use clap::Args;
use comfy_table::{CellAlignment, Table as TextTable, presets};
use serde::Serialize;

use crate::bench::{Case, Measurement, gemm_alone, measure};
use crate::device::{Device, Peaks};

use super::DeviceArgument;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    device: DeviceArgument,
    /// Only cases whose name contains this, "64-64-32-10" say.
    #[arg(long, default_value = "")]
    case: String,
    /// Threads [default: one a core].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Seconds a measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Print JSON: rates in 1/s, FLOP/s and bytes/s.
    #[arg(long)]
    json: bool,
}

/// All that was measured of a device.
#[derive(Serialize)]
struct Report {
    device: String,
    peaks: Peaks,
    measurements: Vec<Measurement>,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        if !(self.seconds > 0.0 && self.seconds <= 3600.0) {
            bail!("--seconds {}: must be above 0, at most 3600", self.seconds);
        }
        let mut cases = Case::all();
        cases.retain(|case| case.to_string().contains(&self.case));
        if cases.is_empty() {
            let names: Vec<_> = Case::all().iter().map(Case::to_string).collect();
            bail!("--case {}: no case has that in its name; there are {:?}", self.case, names);
        }
        let device = self.device.open()?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build()?;
        let report = pool.install(|| measure_all(&device, &cases, self.seconds))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("{report}");
        }
        Ok(())
    }
}

fn measure_all(device: &Device, cases: &[Case], seconds: f64) -> anyhow::Result<Report> {
    let peaks = device.peaks(seconds)?;
    let measurements = cases.iter().map(|case| {
        // One beside the other, so that whatever slows the machine down slows both.
        let on_cpu = matches!(device, Device::Cpu);
        let gemm_flops = on_cpu.then(|| gemm_alone(case, seconds));
        Ok(Measurement { gemm_flops, ..measure(case, device, seconds)? })
    });
    let measurements = measurements.collect::<anyhow::Result<_>>()?;
    Ok(Report { device: device.describe(), peaks, measurements })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let giga = |rate: f64| format!("{:.1}", rate / 1e9);
        let percent = |part: f64, whole: f64| format!("{:.0}%", 100.0 * part / whole);
        let mut table = TextTable::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "case",
            "particle-steps/s",
            "GFLOP/s",
            "of the peak",
            "gemm alone",
            "of gemm",
            "GB/s",
            "of the copy",
        ]);
        for measured in &self.measurements {
            let Measurement { name, particle_steps, flops, bytes, gemm_flops, .. } = measured;
            table.add_row([
                name.clone(),
                format!("{particle_steps:.0}"),
                giga(*flops),
                percent(*flops, self.peaks.flops),
                gemm_flops.map_or("–".into(), giga),
                gemm_flops.map_or("–".into(), |gemm| percent(*flops, gemm)),
                giga(*bytes),
                percent(*bytes, self.peaks.bytes),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(
            f,
            "{}; a large product: {} GFLOP/s, a large copy: {} GB/s\n",
            self.device,
            giga(self.peaks.flops),
            giga(self.peaks.bytes),
        )?;
        write!(f, "{table}")
    }
}
