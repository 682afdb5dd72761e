//! The metric of a memory budget.

use super::sample::sample;
use crate::model::byte_budget::ByteBudget;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::HashMap;
use std::sync::Arc;

/// Shows the bytes of a [`ByteBudget`] that are in use.
#[derive(Debug)]
pub struct BudgetCollector {
    budget: Arc<ByteBudget>,
    description: Desc,
}

impl BudgetCollector {
    /// Shows `budget` under this name.
    ///
    /// # Errors
    /// When the name is not a valid metric name.
    pub fn new(name: &str, help: &str, budget: Arc<ByteBudget>) -> Result<Self, prometheus::Error> {
        let description = Desc::new(name.to_owned(), help.to_owned(), vec![], HashMap::new())?;
        Ok(Self { budget, description })
    }
}

impl Collector for BudgetCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::GAUGE);
        #[allow(clippy::cast_precision_loss, reason = "Prometheus gauges are doubles")]
        family.set_metric(vec![sample(MetricType::GAUGE, self.budget.used() as f64)]);
        vec![family]
    }
}
