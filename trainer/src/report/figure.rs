//! A figure: plots beside one another, their legend, and a sentence that says what to read off.

use maud::{Markup, html};

use super::plot::Plot;

/// Plots that belong together.
pub struct Figure {
    title: &'static str,
    caption: String,
    legend: Vec<(usize, String)>,
    /// Columns of plots, one above the other within a column.
    columns: Vec<Vec<Plot>>,
}

impl Figure {
    /// A figure without plots; the caption says what to read off it.
    pub fn new(title: &'static str, caption: impl Into<String>) -> Self {
        Self { title, caption: caption.into(), legend: Vec::new(), columns: Vec::new() }
    }

    /// Names a series.
    #[must_use]
    pub fn key(mut self, series: usize, name: impl Into<String>) -> Self {
        self.legend.push((series, name.into()));
        self
    }

    /// Adds a plot beside those there are.
    #[must_use]
    pub fn beside(mut self, plot: Plot) -> Self {
        self.columns.push(vec![plot]);
        self
    }

    /// Adds a plot below the last one.
    #[must_use]
    pub fn below(mut self, plot: Plot) -> Self {
        match self.columns.last_mut() {
            Some(column) => column.push(plot),
            None => self.columns.push(vec![plot]),
        }
        self
    }

    /// The figure's element. `id` is unique in the page.
    pub fn html(&self, id: &str) -> Markup {
        html! {
            figure.single[self.columns.len() == 1] id=(id) {
                h3 { (self.title) }
                div.body {
                div.plots {
                    @for (column, plots) in self.columns.iter().enumerate() {
                        div {
                            @for (row, plot) in plots.iter().enumerate() {
                                @if row == 0 && self.columns.len() > 1 { h4 { (plot.name) } }
                                (plot.svg(&format!("{id}-{column}-{row}")))
                            }
                        }
                    }
                }
                div {
                    @if !self.legend.is_empty() {
                        ul.legend {
                            @for (series, name) in &self.legend {
                                li { span.key.(format!("s{series}")) {} (name) }
                            }
                        }
                    }
                    figcaption { (self.caption) }
                }
                }
            }
        }
    }
}
