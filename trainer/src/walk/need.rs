//! Time and memory that a walk needs, told before it starts.

use std::fmt;

use crate::descent::KEPT;
use crate::network::{Architecture, most_rows};
use crate::store::IN_MEMORY;

/// Bytes of the program, and of a thread with its buffers for matrix products.
const PROGRAM: usize = 16 << 20;
const THREAD: usize = 4 << 20;

/// Size of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Parameters of the network, P.
    pub parameters: usize,
    /// Parameters that are walked.
    pub walked: usize,
    /// Particles to walk.
    pub particles: usize,
    /// Gradient steps of a particle.
    pub steps: usize,
    /// Particles that are walked at the same time, t.
    pub at_once: usize,
    /// Memory at most, bytes.
    pub bytes: usize,
    /// Memory of all GPUs together at most, bytes; 0 where the processor walks.
    pub gpu_bytes: usize,
}

/// Numbers that the memory of a walk depends on besides the network and the particles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Parameters that are walked: of those of the layers from the first one on, Q, some may stay.
    pub(super) moved: usize,
    /// MAPs, M.
    pub(super) maps: usize,
    /// Training rows, n.
    pub(super) rows: usize,
    /// Mini-batches, B.
    pub(super) parts: usize,
    /// Threads.
    pub(super) threads: usize,
    /// Particles that are walked at the same time, t.
    pub(super) at_once: usize,
    /// Whether GPUs walk.
    pub(super) on_gpu: bool,
    /// Drifts that are drawn at once, d.
    pub(super) drifts: usize,
    /// Finished particles that are in memory at once, h.
    pub(super) held: usize,
    /// Gradient steps of a particle.
    pub(super) steps: usize,
}

impl Need {
    /// The need of `particles` particles. The memory is 16 MiB, 4 MiB a thread and, in numbers of four bytes,
    ///
    /// - P (1 + 2M + h) + Q d: the prior, the MAPs while they are read, finished particles; drifts;
    /// - with B > 1 mini-batches, Q M (B + 1), their gradients at the MAPs, of which up to 256 MiB a MAP are in
    ///   memory;
    /// - n (2 features + 5), the rows and their mini-batches; a set of rows that is too large for memory
    ///   stays on the disk, and of its mini-batches there are t;
    /// - where P > Q, as much with the inputs of the layers that are walked.
    ///
    /// And there or on the GPUs
    ///
    /// - 5 Q t: position, gradient, two moments and start (or drift) of a particle under way;
    /// - t times the activations of a tile of rows and three gradients of the widest layer; on GPUs the
    ///   mini-batches too.
    pub(super) fn of(
        architecture: &Architecture,
        walked: &Architecture,
        particles: usize,
        setting: Setting,
    ) -> Self {
        let Setting { moved, maps, rows, parts, threads, at_once, on_gpu, drifts, held, steps } =
            setting;
        let (parameters, own) = (architecture.parameters(), walked.parameters());
        let of_parts = (parts * own).min(IN_MEMORY / size_of::<f32>());
        let controls = if parts > 1 { maps * (of_parts + own) } else { 0 };
        let values = walked.tape_values();
        let widest = values.iter().max().copied().unwrap_or(0);
        let batch = rows.div_ceil(parts.max(1));
        let tape = most_rows(walked).min(batch) * (values.iter().sum::<usize>() + 3 * widest);
        let of_rows = |features: usize| {
            let all = rows * features;
            let fits = |most: usize| all * size_of::<f32>() <= most;
            let read = if fits(IN_MEMORY) { all } else { 0 };
            let made = if on_gpu { 1 } else { at_once };
            let batches = if fits(KEPT) || parts == 1 { all } else { made * batch * features };
            read + batches + 5 * rows
        };
        let hidden = if own < parameters { of_rows(walked.inputs()) } else { 0 };
        let numbers = parameters * (1 + 2 * maps + held)
            + own * drifts
            + controls
            + of_rows(architecture.inputs())
            + hidden;
        let host = PROGRAM + threads * THREAD + numbers * size_of::<f32>();
        let under_way = at_once * (5 * own + tape) * size_of::<f32>();
        let uploaded = rows * (walked.inputs() + 1) * size_of::<f32>();
        let (bytes, gpu_bytes) =
            if on_gpu { (host, under_way + uploaded) } else { (host + under_way, 0) };
        Self { parameters, walked: moved, particles, steps, at_once, bytes, gpu_bytes }
    }

    /// Gradient steps of all particles together.
    pub fn particle_steps(&self) -> usize {
        self.particles * self.steps
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} particles of {}{} parameters, {} at once: {} particle-steps, memory {} MB",
            self.particles,
            if self.walked < self.parameters {
                format!("{} of ", self.walked)
            } else {
                String::new()
            },
            self.parameters,
            self.at_once,
            self.particle_steps(),
            self.bytes.div_ceil(1_000_000)
        )?;
        if self.gpu_bytes > 0 {
            write!(f, ", of the GPU {} MB", self.gpu_bytes.div_ceil(1_000_000))?;
        }
        Ok(())
    }
}

/// Most memory that this process has had, bytes; where large files are mapped, whose pages the system may drop,
/// what it has now besides them. None where the system does not tell.
pub(super) fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| -> Option<usize> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
    };
    match bytes("RssFile:") {
        Some(mapped) if mapped > IN_MEMORY => bytes("RssAnon:"),
        _ => bytes("VmHWM:"),
    }
}
