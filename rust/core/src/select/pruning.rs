//! A filter evaluated over statistics: what it may come to for the rows of a row group, without reading them.

use std::ops::BitOr;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::{ConvertedType, Type as PhysicalType};
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescriptor;

use super::comparable::{Comparable, comparable, plain, scale};
use super::evaluate::float_bits;
use super::predicate::{Condition, FilterOp, Literal, Predicate, Test};

/// The statistics of a column over some rows; None is unknown.
#[derive(Debug, Clone, Default)]
pub(super) struct ColumnStats {
    /// No value is smaller, none greater: arrays of one row.
    bounds: Option<(ArrayRef, ArrayRef)>,
    nulls: Option<u64>,
    rows: u64,
}

/// Some of true, false and null: what a condition may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcomes(u8);

const YES: Outcomes = Outcomes(1);
const NO: Outcomes = Outcomes(2);
const NULL: Outcomes = Outcomes(4);
const NONE: Outcomes = Outcomes(0);
const ANY: Outcomes = Outcomes(7);

impl BitOr for Outcomes {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Outcomes {
    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn when(self, possible: bool) -> Self {
        if possible { self } else { NONE }
    }

    /// Whether a row may pass.
    pub(super) fn may_pass(self) -> bool {
        self.has(YES)
    }

    /// Whether every row passes.
    pub(super) fn all_pass(self) -> bool {
        self == YES
    }

    fn not(self) -> Self {
        YES.when(self.has(NO)) | NO.when(self.has(YES)) | NULL.when(self.has(NULL))
    }

    fn and(self, other: Self) -> Self {
        let null = (self.has(NULL) && other.has(YES | NULL)) || (other.has(NULL) && self.has(YES | NULL));
        YES.when(self.has(YES) && other.has(YES)) | NO.when(self.has(NO) || other.has(NO)) | NULL.when(null)
    }
}

impl ColumnStats {
    /// Of a row group's column, by its statistics.
    pub(super) fn of_row_group(
        group: &RowGroupMetaData,
        leaves: &SchemaDescriptor,
        schema: &Schema,
        column: &Field,
    ) -> Self {
        let rows = group.num_rows().unsigned_abs();
        Self::by_statistics(group, leaves, schema, column).unwrap_or_default().with_rows(rows)
    }

    fn with_rows(self, rows: u64) -> Self {
        Self { rows, ..self }
    }

    fn by_statistics(
        group: &RowGroupMetaData,
        leaves: &SchemaDescriptor,
        schema: &Schema,
        column: &Field,
    ) -> Option<Self> {
        let converter = StatisticsConverter::try_new(column.name(), schema, leaves).ok()?;
        let leaf = group.columns().get(converter.parquet_column_index()?)?;
        let statistics = leaf.statistics()?;
        let nulls = statistics.null_count_opt();
        // Old writers ordered texts and unsigned numbers as if signed; nobody says how timestamps of 96 bits are
        // ordered.
        let is_number = matches!(
            leaf.column_type(),
            PhysicalType::INT32 | PhysicalType::INT64 | PhysicalType::FLOAT | PhysicalType::DOUBLE
        );
        let is_unsigned = matches!(
            converter.arrow_field().data_type(),
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64
        );
        let ordered = !statistics.is_min_max_deprecated() || (is_number && !is_unsigned);
        // Nor how intervals are.
        let is_interval = leaf.column_descr().converted_type() == ConvertedType::INTERVAL;
        // In another unit, or with other places, the file's numbers are not those of the column.
        let (of_file, of_column) = (converter.arrow_field().data_type(), column.data_type());
        let is_rescaled = (of_file.is_temporal() && of_file != of_column)
            || scale(of_file) != scale(of_column)
            || (of_file.is_integer() && of_column.is_floating());
        if !ordered || is_interval || is_rescaled || leaf.column_type() == PhysicalType::INT96 {
            return Some(Self { nulls, ..Self::default() });
        }
        let low = converter.row_group_mins([group]).and_then(|low| Ok((low, converter.row_group_maxes([group])?)));
        let bounds = low.ok().and_then(|(low, high)| {
            let (low, high) = (plain(&low).ok()?, plain(&high).ok()?);
            (low.len() == 1 && high.len() == 1 && low.is_valid(0) && high.is_valid(0)).then_some((low, high))
        });
        Some(Self { bounds, nulls, rows: 0 })
    }

    /// Of a partition column: one value for all rows of the file.
    pub(super) fn of_partition(values: &RecordBatch, column: usize, file: usize) -> Self {
        Self::between(values.column(column), values.column(column), file)
    }

    /// Of a column whose values in a file lie between two, given at the file's place; both are null where all are.
    pub(super) fn between(low: &ArrayRef, high: &ArrayRef, file: usize) -> Self {
        if low.is_null(file) && high.is_null(file) {
            return Self { bounds: None, nulls: Some(1), rows: 1 };
        }
        let (low, high) = (plain(&low.slice(file, 1)).ok(), plain(&high.slice(file, 1)).ok());
        let bounds = low.zip(high).filter(|(low, high)| low.is_valid(0) && high.is_valid(0));
        Self { bounds, nulls: Some(0), rows: 1 }
    }

    fn null(&self) -> Outcomes {
        NULL.when(self.nulls != Some(0))
    }

    fn all_null(&self) -> bool {
        self.nulls == Some(self.rows) && self.rows > 0
    }
}

/// What the filter may come to for a row, given the statistics of each of its columns.
pub(super) fn outcomes(predicate: &Predicate, stats: &[ColumnStats]) -> Outcomes {
    let mut stack: Vec<Outcomes> = Vec::new();
    for step in &predicate.steps {
        let outcomes = match step {
            FilterOp::Test(condition) => test(condition, stats),
            FilterOp::Constant(value) => value.map_or(NULL, |value| if value { YES } else { NO }),
            FilterOp::Unknown => ANY,
            FilterOp::Not => stack.pop().unwrap_or(ANY).not(),
            FilterOp::And | FilterOp::Or => {
                let (b, a) = (stack.pop().unwrap_or(ANY), stack.pop().unwrap_or(ANY));
                if matches!(step, FilterOp::And) { a.and(b) } else { a.not().and(b.not()).not() }
            }
        };
        stack.push(outcomes);
    }
    stack.pop().unwrap_or(ANY)
}

fn test(condition: &Condition, stats: &[ColumnStats]) -> Outcomes {
    let of = &stats[condition.column];
    match &condition.test {
        Test::Null { nan: true } => YES | NO,
        Test::Null { nan: false } => YES.when(of.nulls != Some(0)) | NO.when(!of.all_null()),
        Test::In { values, null } => {
            let at_null = if *null { YES } else { NO };
            let values = if of.all_null() { NONE } else { contained(of, values) };
            values | at_null.when(of.nulls != Some(0))
        }
        _ if of.all_null() => NULL,
        Test::Equal(literal) => compare(of, literal, |low, high, v| (low <= v && v <= high, low != v || high != v)),
        Test::Less(literal) => compare(of, literal, |low, high, v| (low < v, high >= v)),
        Test::LessEqual(literal) => compare(of, literal, |low, high, v| (low <= v, high > v)),
        Test::Greater(literal) => compare(of, literal, |low, high, v| (high > v, low <= v)),
        Test::GreaterEqual(literal) => compare(of, literal, |low, high, v| (high >= v, low < v)),
        Test::Always(value) => (if *value { YES } else { NO }) | of.null(),
        Test::EqualColumn(_) | Test::LessColumn(_) | Test::Nan => ANY,
    }
}

/// A bound or a literal.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Int(i128),
    Float(f64),
    Bytes(Vec<u8>),
}

/// The bounds, in the literal's kind; None where nothing can be said. And whether there may be NaNs beside them.
fn bounds(of: &ColumnStats, literal: &Literal) -> Option<(Bound, Bound, Bound, bool)> {
    let (low, high) = of.bounds.as_ref()?;
    let is_float = low.data_type().is_floating();
    let one = |array: &ArrayRef| {
        let comparable = comparable(array).ok()?;
        Some(match literal {
            Literal::Float(_) => Bound::Float(*comparable.floats(array.data_type()).ok()?.first()?),
            Literal::Int(_) => Bound::Int(*comparable.wide().ok()?.first()?),
            Literal::Bytes(_) => match comparable {
                Comparable::Bytes(values) => Bound::Bytes(values.first()?.to_vec()),
                _ => return None,
            },
        })
    };
    let literal = match literal {
        Literal::Int(value) => Bound::Int(*value),
        Literal::Float(value) => Bound::Float(*value),
        Literal::Bytes(value) => Bound::Bytes(value.clone()),
    };
    let (low, high) = (one(low)?, one(high)?);
    let numbers = [&low, &high, &literal].into_iter().all(|value| !matches!(value, Bound::Float(v) if v.is_nan()));
    numbers.then_some((low, high, literal, is_float))
}

/// `decide`, of low, high and the literal: whether the test may be true, and whether it may be false.
fn compare(of: &ColumnStats, literal: &Literal, decide: impl Fn(&Bound, &Bound, &Bound) -> (bool, bool)) -> Outcomes {
    let Some((low, high, value, may_be_nan)) = bounds(of, literal) else { return YES | NO | of.null() };
    let (yes, no) = decide(&low, &high, &value);
    // A NaN, which bounds leave out, is neither equal nor less.
    YES.when(yes) | NO.when(no || may_be_nan) | of.null()
}

fn contained(of: &ColumnStats, values: &[Literal]) -> Outcomes {
    let (mut yes, mut all) = (false, false);
    for literal in values {
        if let Literal::Float(value) = literal
            && float_bits(*value) == float_bits(f64::NAN)
        {
            return YES | NO;
        }
        let Some((low, high, value, may_be_nan)) = bounds(of, literal) else { return YES | NO };
        yes |= low <= value && value <= high;
        all |= low == value && high == value && !may_be_nan;
    }
    YES.when(yes) | NO.when(!all)
}
