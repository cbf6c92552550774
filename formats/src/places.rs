//! Where the maps of a convolutional network lie in the runtime's working memory.

use heapless::Vec;

use crate::artifact::Artifact;
use crate::geometry::Geometry;
use crate::limits::MAX_LAYERS;
use crate::packing::padded;

/// Byte offsets of the maps: of the input, then of every hidden layer's output.
pub(crate) type Offsets = [usize; MAX_LAYERS];

/// A map, and when its bytes are needed: layer n reads its inputs at time 2n. A convolution writes
/// its output meanwhile, a dense layer after it.
struct Map {
    len: usize,
    first: usize,
    last: usize,
}

impl Map {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of the maps, and bytes of all.
///
/// The maps are placed one after another, each at the lowest or at the highest free place of as many
/// bytes as the maps need that are alive together. Of all such choices, that with the lowest end is
/// taken, the first if there are several. From lowest and highest by turns, a chain takes no byte
/// more than its largest neighbours.
pub(crate) fn places(artifact: &Artifact<'_>, geometry: &Geometry<'_>) -> (Offsets, usize) {
    /// The choice that comes first: the input lowest, the first layer's output highest and so on.
    const BY_TURNS: usize = 0xaaaa_aaaa;
    let maps = maps(artifact, geometry);
    let together = |map: &Map| {
        let alive = maps.iter().filter(|other| other.first <= map.first && map.first <= other.last);
        alive.map(|map| map.len).sum::<usize>()
    };
    let bound = maps.iter().map(together).max().unwrap_or(0);
    let mut best = (Offsets::default(), usize::MAX);
    for choice in 0..1usize << maps.len().min(MAX_LAYERS) {
        let (offsets, end) = place(&maps, bound, choice ^ BY_TURNS);
        if end < best.1 {
            best = (offsets, end);
        }
        if end <= bound {
            break;
        }
    }
    best
}

/// The maps with their times. What all samples share, and every sample reads, is needed for ever.
fn maps(artifact: &Artifact<'_>, geometry: &Geometry<'_>) -> Vec<Map, MAX_LAYERS> {
    let stochastic = artifact.first_stochastic();
    let mut maps = Vec::new();
    let push = |maps: &mut Vec<Map, MAX_LAYERS>, len: usize, time| {
        // There is one map a layer at most.
        let _ = maps.push(Map { len: padded(len), first: time, last: time });
    };
    push(&mut maps, geometry.input.len(), 0);
    for step in geometry.steps(&artifact.layers) {
        let convolution = step.block.window.is_some();
        // A dense layer's product with its input is shared by the samples where that input is.
        let repeated = step.index > stochastic || (step.index == stochastic && convolution);
        let skip = step.block.skip.map(|skip| usize::from(skip.layer) + 1);
        for map in [Some(step.index), skip].into_iter().flatten() {
            let time = if repeated && map <= stochastic { usize::MAX } else { 2 * step.index };
            if let Some(map) = maps.get_mut(map) {
                map.last = map.last.max(time);
            }
        }
        if step.index + 1 < artifact.layers.len() {
            let time = if convolution { 2 * step.index } else { 2 * step.index + 1 };
            push(&mut maps, step.output.len(), time);
        }
    }
    maps
}

/// Places the maps within `bound` where that is possible: the highest place for those whose bit of
/// `choice` is set. Returns their offsets and where the last byte ends.
fn place(maps: &[Map], bound: usize, choice: usize) -> (Offsets, usize) {
    let mut offsets = Offsets::default();
    let mut end = 0;
    for (index, map) in maps.iter().enumerate() {
        let earlier = maps.get(..index).unwrap_or_default();
        let high = choice & (1 << index) != 0;
        let highest = if high { free(map, earlier, &offsets, Some(bound)) } else { None };
        let offset = highest.or_else(|| free(map, earlier, &offsets, None)).unwrap_or(0);
        end = end.max(offset + map.len);
        if let Some(slot) = offsets.get_mut(index) {
            *slot = offset;
        }
    }
    (offsets, end)
}

/// The lowest place for `map` beside the `earlier` ones, or the highest below a bound, if any.
fn free(map: &Map, earlier: &[Map], offsets: &Offsets, bound: Option<usize>) -> Option<usize> {
    let mut offset = bound.map_or(Some(0), |bound| bound.checked_sub(map.len))?;
    // Every move passes a map for good.
    while let Some((other, &at)) = earlier
        .iter()
        .zip(offsets)
        .find(|&(other, &at)| other.meets(map) && at < offset + map.len && offset < at + other.len)
    {
        offset = if bound.is_some() { at.checked_sub(map.len)? } else { at + other.len };
    }
    Some(offset)
}
