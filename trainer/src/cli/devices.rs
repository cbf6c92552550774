//! `fiberwalk devices`.

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};

use crate::device::{AdapterReport, adapters, threads};

#[derive(Args)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let adapters = adapters();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&adapters.unwrap_or_default())?);
            return Ok(());
        }
        println!("cpu: {} threads", threads());
        let Some(adapters) = adapters else {
            println!("gpu: this fiberwalk was built without (feature `gpu`)");
            return Ok(());
        };
        if adapters.is_empty() {
            println!("gpu: none found");
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "device",
            "name",
            "kind",
            "backend",
            "driver",
            "memory",
            "binding",
            "workgroup",
        ]);
        let bytes = |bytes: u64| match bytes {
            0..1_048_576 => format!("{} KiB", bytes >> 10),
            1_048_576..10_737_418_240 => format!("{} MiB", bytes >> 20),
            _ => format!("{} GiB", bytes >> 30),
        };
        for adapter in &adapters {
            let AdapterReport { index, name, kind, backend, driver, .. } = adapter;
            table.add_row([
                format!("gpu:{index}"),
                name.clone(),
                (*kind).to_owned(),
                backend.clone(),
                driver.clone(),
                adapter.memory.map_or_else(|| "unknown".to_owned(), bytes),
                bytes(adapter.max_binding),
                bytes(u64::from(adapter.workgroup_memory)),
            ]);
        }
        for column in 5..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{table}");
        if adapters.iter().all(|adapter| adapter.software) {
            println!("All of these are software: `--device auto` computes on the processor.");
        }
        Ok(())
    }
}
